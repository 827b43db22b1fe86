"""An exchange: one request and its response over ASGI, and the watch for the client's close.

Owns the ASGI messages and the waits that a close cuts short. Does not own what is sent, nor when.

Guarantees: from the moment the close is seen, `gone` is true and every wait returns; the watch runs beside the
answer, not between its writes, so that a silent answer notices as well.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Receive, Scope, Send

from andon.sim.errors import SimError

# The ASGI extension in which `andon.sim.protocol` hands over the connection's transport.
TRANSPORT: Final = "andon.sim.transport"
_MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_WAIT_S = 86_400.0  # event loops refuse timers that are too long
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST


class Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        # None under an ASGI server other than the sim's own.
        extensions = scope.get("extensions") or {}
        self._transport: asyncio.Transport | None = extensions.get(TRANSPORT, {}).get("transport")
        # The response is complete or reset by us: what the watch sees from then on is not the client's doing.
        self.ended = False
        # The watch has seen the end of the connection, or of the response.
        self._over = False
        # The one wait in progress, if any; the watch cuts it short.
        self._waiter: asyncio.Future[None] | None = None
        # Response headers are out.
        self.started = False
        # Unix time at which the client's close was seen; None if it did not close before our end.
        self.closed_at: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the client has gone: what is written now reaches nobody."""
        # The transport knows a little earlier than the watch, which is a task and has to be scheduled.
        return self._over or (self._transport is not None and self._transport.is_closing())

    async def read(self) -> bytes | None:
        """Read the whole request body; None if the client closed before it was complete. Not to be cancelled."""
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > _MAX_BODY_BYTES:
                raise SimError(413)
            if not message.get("more_body", False):
                return bytes(body)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch for the client's close while the block runs. The body must have been read."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the response headers."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client's buffers are full, until it reads or goes."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the body. If the client has gone, that is no end: `ended` stays false."""
        reached = not self.gone
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        # Not `gone` again: the server itself may have closed the connection, now that the response is complete.
        self.ended = reached and self.closed_at is None

    async def until(self, due: float) -> bool:
        """Wait until a time of the monotonic clock; False, at once, if the client goes first. Cancel-safe."""
        if self.gone:
            return False
        await self._wait(min(max(0.0, due - time.monotonic()), _MAX_WAIT_S))
        return not self.gone

    async def until_gone(self) -> None:
        """Wait until the watch has seen the connection's end. Cancel-safe."""
        while not self._over:
            await self._wait(None)

    async def breathe(self) -> bool:
        """Let the other streams and the watch have their turn; False if the client has gone."""
        await asyncio.sleep(0)
        return not self.gone

    async def reset(self) -> None:
        """Break the connection with a TCP reset; under a foreign ASGI server, leave it to end as broken."""
        if self.gone:
            return
        self.ended = True
        if self._transport is None:
            return
        # A duplicate of the descriptor, since a transport's own socket object need not take options.
        with socket.socket(fileno=socket.dup(self._transport.get_extra_info("socket").fileno())) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        await self.until_gone()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.ended:
            self.closed_at = time.time()
        self._over = True
        if self._waiter is not None:
            _wake(self._waiter)

    async def _wait(self, delay_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = None if delay_s is None else loop.call_later(delay_s, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
