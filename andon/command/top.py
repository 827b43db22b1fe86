"""`andon top`: what is live, at a glance, in the terminal.

Owns the options; what is read and shown is `andon.command.glance`.
"""

import sys
from typing import Annotated

import typer

EXAMPLES = """Examples:

andon top

andon top --by age --rows 40

andon top --once --json   [dim]for a script[/dim]

It reads the operators' feed, so the token needs the scope andon:admin or andon:admin:all. Ctrl-C ends it."""


def top(
    *,
    url: Annotated[str | None, typer.Option(envvar="ANDON_URL", help="Any gateway's address.")] = None,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
    rows: Annotated[int, typer.Option(help="The most responses that are shown.", min=1, max=1000)] = 20,
    by: Annotated[str, typer.Option(help="What comes first: rate, tokens or age.")] = "rate",
    once: Annotated[bool, typer.Option("--once", help="Show one moment and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print what the feed told, as JSON.")] = False,
) -> None:
    """Show sessions, workers and gateways as they are, renewed about once a second."""
    import asyncio  # noqa: PLC0415 - see the package

    from andon.client import DEFAULT_URL  # noqa: PLC0415
    from andon.command.glance import ORDERS, show_once, watch  # noqa: PLC0415
    from andon.command.interrupt import Interrupted, interruptible  # noqa: PLC0415

    if by not in ORDERS:
        raise typer.BadParameter(f"one of {', '.join(ORDERS)}", param_hint="--by")
    if as_json and not once:
        raise typer.BadParameter("needs --once", param_hint="--json")
    where = url or DEFAULT_URL
    work = (
        show_once(where, token=token, by=by, rows=rows, as_json=as_json)
        if once or not sys.stdout.isatty()
        else watch(where, token=token, by=by, rows=rows)
    )
    try:
        asyncio.run(interruptible(work, again=lambda: None))
    except Interrupted:
        return
