"""`andon dev`: everything on this machine, until Ctrl-C.

Owns the options; what is started is `andon.command.stack`, what the user is told `andon.command.development`.
"""

import sys
from typing import Annotated

import typer

EXAMPLES = """Examples:

andon dev

andon dev --port 8000 --logs

OPENAI_API_KEY=sk-... andon dev   [dim]the real API instead of the sim[/dim]

Ctrl-C ends it all; a second one does not wait for the drain."""


def dev(
    *,
    host: Annotated[str, typer.Option(help="The address the gateways listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            help="The port of the first gateway; the second takes the next. "
            "Not given: the first free ones from 21100 on.",
            min=1,
            max=65534,
        ),
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show what the processes say, each line with its name.")] = False,
    rate: Annotated[float, typer.Option(help="The sim's tokens a second.", min=0)] = 50.0,
    tokens: Annotated[int, typer.Option(help="The length of the sim's answers, in tokens.", min=0)] = 431,
) -> None:
    """Run an embedded Valkey, two gateways, two workers and the sim, on this machine, until Ctrl-C.

    With OPENAI_BASE_URL or OPENAI_API_KEY set, the workers talk to that model server and no sim is started.
    """
    import asyncio  # noqa: PLC0415 - see the package

    from andon.command.development import develop  # noqa: PLC0415
    from andon.command.interrupt import Interrupted  # noqa: PLC0415
    from andon.command.stack import StackOptions  # noqa: PLC0415
    from andon.sim.options import SimOptions  # noqa: PLC0415

    options = StackOptions(host=host, port=port, sim=SimOptions(rate=rate, tokens=tokens))
    try:
        asyncio.run(develop(options, logs=logs))
    except Interrupted:
        print("andon: all ended", file=sys.stderr)
