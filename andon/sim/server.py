"""The sim's server: the app on a port, until a signal or the end of a block.

Owns the listening socket and the life of the server. Does not own the command line, nor what is answered.

Guarantees: the address that is announced accepts connections; the end is at once, with open streams cut, and leaves
no task, socket or connection behind.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from andon.sim.app import SimApp
from andon.sim.options import SimOptions
from andon.sim.protocol import SimProtocol

__all__ = ["SimOptions", "create_app", "run", "serve"]

_BACKLOG = 2048
# Longer than clients keep an idle connection, so that it is they who close it, not we under their next request.
_KEEP_ALIVE_S = 75
_CUT_S = 5.0  # all is cut already; this only bounds the wait for it to unwind


def create_app(options: SimOptions) -> ASGIApp:
    """Make the sim as an ASGI app of its own meter, for any ASGI server.

    Only under `serve` and `run` does `sim-drop` end in a TCP reset, and is a client's close seen at once while
    bytes for it are still unsent.
    """
    return SimApp(options)


def run(host: str, port: int, options: SimOptions, *, announce: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then return. To be called in the main thread.

    `announce` is called once, when connections are accepted, with a line that tells the address; port 0 has the
    system choose. Raises SystemExit, whose message says why, if the address can't be listened on.
    """
    try:
        listener = _listen(host, port)
    except OSError as error:
        raise SystemExit(f"sim: cannot listen on {host}:{port}: {error.strerror or error}") from error
    loop_factory = uvicorn.Config(create_app(options)).get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_until_signal(listener, options, announce))


@asynccontextmanager
async def serve(options: SimOptions, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the block runs; gives the base URL, which ends in `/v1`. Raises OSError if it can't listen."""
    async with _serving(_listen(host, port), options) as base_url:
        yield base_url


async def _until_signal(listener: socket.socket, options: SimOptions, announce: Callable[[str], None] | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with _serving(listener, options) as base_url:
        if announce is not None:
            announce(f"sim listening on {base_url}")
        await stopped.wait()


@asynccontextmanager
async def _serving(listener: socket.socket, options: SimOptions) -> AsyncIterator[str]:
    """Run uvicorn's server by hand: its own `serve` takes over the signals, and polls where we can wait."""
    config = uvicorn.Config(
        create_app(options),
        http=SimProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with listener:
        await server.startup(sockets=[listener])
        try:
            yield _base_url(listener)
        finally:
            await _cut(server)


async def _cut(server: uvicorn.Server) -> None:
    """Stop listening, abort every connection, and wait until the requests on them have unwound."""
    for listening in server.servers:
        listening.close()
    connections = [each for each in server.server_state.connections if isinstance(each, SimProtocol)]
    tasks = list(server.server_state.tasks)
    for connection in connections:
        connection.shutdown()
    async with asyncio.timeout(_CUT_S):
        for connection in connections:
            await connection.lost.wait()
        if tasks:
            await asyncio.wait(tasks)


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is, and accepted sockets
    # inherit it; `socket.create_server` leaves it 0, and each answer then waits 40 ms for a delayed ACK.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
