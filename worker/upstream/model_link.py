"""Model link: one connection to a model server, for one exchange at a time.

Owns the socket and who may read it. Does not own the pool (`push_transport`), nor what the bytes mean (`exchange`).
Guarantees that `close` shuts the socket down in the call itself: the server is told before the event loop turns, and
whoever lent the connection its slot has it back by then.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import httpx2

from worker.upstream.exchange import Exchange, OnHead

Origin: TypeAlias = tuple[str, str, int]  # scheme, host, port

_WRITE_LOW_BYTES: Final = 16 * 1024
_WRITE_HIGH_BYTES: Final = 64 * 1024


class ModelLink(asyncio.Protocol):
    """A connection. `on_idle` and `on_closed` are the pool's: each is called within the call that causes it."""

    def __init__(
        self,
        origin: Origin,
        plug: socket.socket,
        *,
        on_idle: Callable[["ModelLink"], None],
        on_closed: Callable[["ModelLink"], None],
    ) -> None:
        self.origin = origin
        # Ours to shut down: the transport's own view of it refuses.
        self._plug = plug
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._is_closed = False
        # Set while more is unsent than should be.
        self._drained: asyncio.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it serves no more."""
        return self._is_closed

    # ── asyncio's callbacks ──────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self._exchange is None:
            self.close()  # nobody asked: whatever comes next would be taken for the next answer
        else:
            self._exchange.feed(data)

    def eof_received(self) -> None:
        """Hand on. The transport closes itself."""
        if self._exchange is not None:
            self._exchange.eof()
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever reads, and give the slot back."""
        if self._exchange is not None:
            self._exchange.lost(exc)
        self.close()

    def pause_writing(self) -> None:
        """Have the sender wait."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let the sender go on."""
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # ── for the transport ────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, request: bytes, *, read_timeout_s: float | None, on_head: OnHead | None = None) -> Exchange:
        """Send a request; returns at once. Call it on an idle connection only."""
        assert self._exchange is None
        assert self._transport is not None
        self._exchange = Exchange(self, read_timeout_s=read_timeout_s, on_head=on_head)
        self._transport.write(request)
        return self._exchange

    async def sent(self, timeout_s: float | None) -> None:
        """Wait until nearly all of the request has left, or an answer came first. Raises httpx2.WriteTimeout."""
        drained, exchange = self._drained, self._exchange
        if drained is None or exchange is None:
            return
        either: set[asyncio.Future[Any]] = {drained, exchange.head}
        done, _ = await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise httpx2.WriteTimeout("the model server took no more of the request")

    # ── for the exchange ─────────────────────────────────────────────────────────────────────────────────────────

    def hold(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._is_closed:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read on."""
        if self._transport is not None and not self._is_closed:
            self._transport.resume_reading()

    def finished(self, *, reusable: bool) -> None:
        """Serve another request, if that can be: the answer was read whole."""
        self._exchange = None
        assert self._transport is not None
        # An answer that came before all of the request had left: what is still to leave belongs to no other request.
        if reusable and not self._is_closed and not self._transport.get_write_buffer_size():
            self._on_idle(self)
        else:
            self.close()

    def shut(self) -> None:
        """Shut the socket down, and hear nothing more."""
        try:
            self._plug.shutdown(socket.SHUT_RDWR)
        except OSError:  # the peer was faster
            return
        self.hold()

    def close(self) -> None:
        """Close at once, whatever is under way. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        exchange, self._exchange = self._exchange, None
        # OSError: the peer was faster.
        with contextlib.suppress(OSError):
            self._plug.shutdown(socket.SHUT_RDWR)
        if self._transport is not None:
            self._transport.abort()
        self.resume_writing()
        self._on_closed(self)
        if exchange is not None:
            exchange.lost(None)
