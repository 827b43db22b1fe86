"""`andon health`: is it well? For health checks in containers, where there is no shell and no curl.

Owns the options and how the answer is told. Asks a server by HTTP, a worker by its lease (`andon.command.wellbeing`);
what there is to ask in this container is read off its first process (`andon.command.container`).
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon health                                  [dim]in a container: whatever runs in it[/dim]

andon health worker                           [dim]a worker of this host holds a lease in Redis[/dim]

andon health http://127.0.0.1:21100/readyz    [dim]that server answers 200[/dim]

Exit code 0: well; 1: not, and one line says why."""


def health(
    target: Annotated[
        str | None,
        typer.Argument(
            help="`worker`, or a URL. Not given: what this container's first process is.", show_default=False
        ),
    ] = None,
) -> None:
    """Tell by the exit code whether a gateway, a worker or the sim is well."""
    import asyncio  # noqa: PLC0415 - see the package

    from andon.command.container import what_runs_here  # noqa: PLC0415
    from andon.command.wellbeing import check_server, check_worker  # noqa: PLC0415

    target = target or what_runs_here()
    asyncio.run(check_worker() if target == "worker" else check_server(target))
    print("well")
