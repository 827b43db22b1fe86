"""`andon gateway`: one gateway process, this one.

Owns the options. The gateway itself is the package `gateway`, started by name: the contract imports neither side.
"""

import importlib
from typing import Annotated

import typer

from andon.early_end import end_on_sigterm

EXAMPLES = """Examples:

andon gateway --port 21100

ANDON_REDIS_URL=redis://redis:6379/0 ANDON_AUTH=jwt andon gateway --host 0.0.0.0 --port 8080

All else is set by ANDON_* environment variables."""


def gateway(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 21100,
) -> None:
    """Run one gateway: WebSocket and HTTP to the clients, Redis behind. Any number may run side by side."""
    end_on_sigterm()  # before the imports, which take most of the start
    importlib.import_module("gateway.__main__").main(host, port)
