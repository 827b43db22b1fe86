"""Start a gateway: `python -m gateway --host H --port N`, or `andon gateway`."""

import argparse
import asyncio
import contextlib
import ipaddress
import socket
import sys

import structlog
import uvicorn
import uvloop

from andon.errors import StartError
from andon.exporting import exporting
from andon.garbage import look_seldom
from andon.logs import configure_logs
from andon.settings import Settings, load_settings
from gateway.app import Gateway, create_app
from gateway.http.wire import BoundedHttpProtocol
from gateway.server import DrainingServer
from gateway.wire import BoundedWebSocketProtocol

_log = structlog.get_logger(__name__)

_BACKLOG = 2048


def main(host: str = "127.0.0.1", port: int = 21100) -> None:
    """Run a gateway until SIGTERM. Exits 0 after its drain, 1 with one line when it cannot start."""
    try:
        settings = load_settings()
        configure_logs(settings.log_level)
        _refuse_open_door(settings, host)
        with (
            contextlib.closing(_bind(host, port)) as listener,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_serve(settings, listener))
    except StartError as error:
        sys.exit(f"andon gateway: {error}")


async def _serve(settings: Settings, listener: socket.socket) -> None:
    # The gateway opens before uvicorn listens: a start that fails says one line, and no socket waits for it.
    gateway = Gateway(settings)
    async with exporting("andon-gateway", gateway.id), gateway.open():
        server = DrainingServer(
            _config(settings, gateway), gateway.sockets, gateway.http.waits, drain_s=settings.drain_s
        )
        look_seldom()
        host, port = listener.getsockname()[:2]
        _log.info("gateway.ready", host=host, port=port)
        await server.serve(sockets=[listener])


def _config(settings: Settings, gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(gateway),
        http=BoundedHttpProtocol,
        ws=BoundedWebSocketProtocol,
        ws_max_size=settings.max_frame_bytes,
        ws_ping_interval=settings.ws_ping_interval_s,
        ws_ping_timeout=settings.ws_ping_timeout_s,
        # Deflate costs 35 KiB a socket and a copy a frame, for tokens that are a few bytes each.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # The drain has closed the sockets by then; what is left does not hold up the end.
        timeout_graceful_shutdown=1,
    )


def _refuse_open_door(settings: Settings, host: str) -> None:
    if settings.auth != "none":
        return
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not settings.auth_none_is_meant:
        raise StartError(
            f"ANDON_AUTH=none on {host} would let anybody in; bind to a loopback address, "
            "or set ANDON_AUTH_NONE_IS_MEANT=true if something in front of this gateway tells clients apart"
        )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol named: without it plain asyncio leaves Nagle on, and each answer waits for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:  # the latter: a port beyond 65535
        listener.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise StartError(f"cannot listen on {host}:{port}: {why}; choose another --port") from error
    listener.set_inheritable(True)
    return listener


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m gateway", description="Run an Andon gateway.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=21100, help="port to listen on; 0: any free one")
    arguments = parser.parse_args()
    main(arguments.host, arguments.port)
