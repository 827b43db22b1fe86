"""Metrics door: the one thing that a worker answers, for Prometheus and for probes: `/metrics` and `/healthz`.

Owns the listener. A dozen lines of HTTP, since a worker serves nobody else: GET only, a request a connection, bounded
in size, time and number. Does not own what is told.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

import structlog

from andon.errors import StartError
from andon.lifetime import Spawned

_log = structlog.get_logger(__name__)

_MOST_HEAD_BYTES: Final = 16 * 1024
_MOST_AT_ONCE: Final = 32
_REQUEST_S: Final = 5.0
_PLAIN: Final = "text/plain; charset=utf-8"


class MetricsDoor:
    """Answers. `exposition` makes the text for an Accept header; `is_well` says whether the worker works."""

    def __init__(
        self,
        exposition: Callable[[str], tuple[bytes, str]],
        is_well: Callable[[], bool],
        *,
        request_s: float = _REQUEST_S,
    ) -> None:
        self._exposition = exposition
        self._is_well = is_well
        self._request_s = request_s
        self._spawn = Spawned(lambda _, error: _log.error("metrics.crashed", exc_info=error))
        self._open = 0

    @contextlib.asynccontextmanager
    async def open(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen for as long as the context lasts; give the port. Raises StartError if that cannot be."""
        try:
            server = await asyncio.start_server(self._come_in, host, port, limit=_MOST_HEAD_BYTES)
        except OSError as error:
            why = error.strerror or error
            raise StartError(f"cannot listen on {host}:{port}: {why}; choose another ANDON_METRICS_PORT") from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self._spawn.close()

    def _come_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MOST_AT_ONCE:
            writer.transport.abort()
            return
        self._open += 1
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._request_s):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.decode("latin-1")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            _log.debug("metrics.request_broken", error=str(error))
        finally:
            self._open -= 1
            writer.transport.abort()

    def _answer(self, head: str) -> bytes:
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET only\n", _PLAIN)
        match path:
            case "/metrics":
                return _response(HTTPStatus.OK, *self._exposition(_header(lines, "accept")), is_head=method == "HEAD")
            case "/healthz" if self._is_well():
                return _response(HTTPStatus.OK, b"ok\n", _PLAIN, is_head=method == "HEAD")
            case "/healthz":
                body = b"no lease: it is starting, has lost Redis, or ends\n"
                return _response(HTTPStatus.SERVICE_UNAVAILABLE, body, _PLAIN, is_head=method == "HEAD")
            case _:
                return _response(HTTPStatus.NOT_FOUND, b"/metrics or /healthz\n", _PLAIN)


def _header(lines: list[str], name: str) -> str:
    """Return the values of a header, joined as if they had come in one line."""
    pairs = (line.partition(":") for line in lines)
    return ",".join(value.strip() for found, _, value in pairs if found.strip().lower() == name)


def _response(status: HTTPStatus, body: bytes, content_type: str, *, is_head: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)
