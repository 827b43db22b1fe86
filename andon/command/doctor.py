"""`andon doctor`: is this deployment well, and what is to be mended? Run it where a gateway or a worker runs.

Owns the options and the exit code; the looking is `andon.doctor`.
"""

import os
from enum import StrEnum
from typing import Annotated

import typer

EXAMPLES = """Examples:

andon doctor                                    [dim]beside a gateway or a worker, with its environment[/dim]

andon doctor --gateway http://a:21100 --gateway http://b:21100   [dim]and a real stop, from one through the other[/dim]

docker compose run --rm gateway-1 doctor --gateway http://nginx:8080

kubectl -n andon exec deploy/andon-worker -- /opt/andon/bin/andon doctor --json

Exit code 0: nothing to mend; 1: something is; 2: it could not be looked at."""

_COULD_NOT_RUN = 2


class Role(StrEnum):
    """What runs where the doctor is run."""

    GATEWAY = "gateway"
    WORKER = "worker"
    BOTH = "both"


def doctor(
    *,
    gateway: Annotated[
        list[str] | None,
        typer.Option(
            help="A gateway, or what stands in front of them; repeatable. A stop is made through first and last."
        ),
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask for; by default ANDON_CHAT_MODEL.")] = None,
    stop: Annotated[
        bool | None,
        typer.Option(
            "--stop/--no-stop", help="Make a real response and stop it, for some tokens. With --gateway: yes."
        ),
    ] = None,
    role: Annotated[
        Role | None, typer.Option(help="What runs here; by default what this container's first process is, else both.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are to be mended, too.")] = False,
    patience: Annotated[float, typer.Option(help="Seconds that any one answer may take.", min=0.1, max=60)] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Look at a deployment, from the settings to a real stop, and say what to mend.

    It changes nothing, leaves nothing behind, and shows no secret.
    """
    import asyncio  # noqa: PLC0415 - see the package
    import time  # noqa: PLC0415

    from andon.doctor.examination import examine  # noqa: PLC0415
    from andon.doctor.gateway import gateway_at  # noqa: PLC0415
    from andon.doctor.report import as_json as written  # noqa: PLC0415
    from andon.doctor.report import as_text, exit_code, summary  # noqa: PLC0415
    from andon.doctor.site import Order  # noqa: PLC0415
    from andon.errors import AndonError  # noqa: PLC0415
    from andon.logs import configure_logs  # noqa: PLC0415

    configure_logs("error")  # what a connection says of itself are other words for what is found
    gateways = tuple(gateway or ())
    began = time.monotonic()
    try:
        for url in gateways:
            gateway_at(url, token)
        order = Order(
            environ=dict(os.environ),
            gateways=gateways,
            token=token,
            model=model,
            stops=bool(gateways) if stop is None else stop,
            role=role or _what_runs_here(),
            patience_s=patience,
        )
        if order.stops and not as_json:
            print("a real response will be made and stopped: that costs some tokens (--no-stop: none)")
        findings = asyncio.run(
            examine(order, (lambda _: None) if as_json else lambda each: print(as_text(each), flush=True))
        )
    except AndonError as error:
        typer.echo(f"andon doctor: {error}", err=True)
        raise typer.Exit(_COULD_NOT_RUN) from None
    took_s = time.monotonic() - began
    print(written(findings, took_s=took_s) if as_json else f"\n{summary(findings)}")
    raise typer.Exit(exit_code(findings, strict=strict))


def _what_runs_here() -> str:
    from andon.command.container import what_runs_here  # noqa: PLC0415
    from andon.command.failure import CommandFailed  # noqa: PLC0415

    try:
        target = what_runs_here()
    except (CommandFailed, ValueError):
        return Role.BOTH  # not in a container of ours
    return Role.WORKER if target == "worker" else Role.GATEWAY
