"""`andon doctor`: is this deployment well, and what is to be mended? Run it where a gateway or a worker runs.

Owns the options, and what they ask the doctor for. What is told is `andon.command.consultation`, the looking
`andon.doctor`.
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
    from andon.command.consultation import consult  # noqa: PLC0415 - see the package
    from andon.doctor.site import Order  # noqa: PLC0415

    gateways = tuple(gateway or ())
    order = Order(
        environ=dict(os.environ),
        gateways=gateways,
        token=token,
        model=model,
        stops=bool(gateways) if stop is None else stop,
        role=role or _what_runs_here(),
        patience_s=patience,
    )
    raise typer.Exit(consult(order, strict=strict, for_machines=as_json))


def _what_runs_here() -> str:
    from andon.command.container import what_runs_here  # noqa: PLC0415
    from andon.command.failure import CommandFailed  # noqa: PLC0415

    try:
        target = what_runs_here()
    except (CommandFailed, ValueError):
        return Role.BOTH  # not in a container of ours
    return Role.WORKER if target == "worker" else Role.GATEWAY
