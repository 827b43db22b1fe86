"""Pushed stream: the body of an answer that the push transport brought.

Owns the translation of what ends a body to `UpstreamError`. Meets `ByteStream`. No task is needed for any of it: its
connection is closed, or kept, within a call.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Self

from worker.upstream.exchange import Exchange
from worker.upstream.stream import LINGER_S, TakeBytes
from worker.upstream.transport_errors import BROKEN_BODY, broken_body_error

# The server that is told, and the next stop, are in more of a hurry than what is left of a connection that was cut.
_GIVEN_UP_AFTER_S: Final = 0.002


class PushedStream:
    """The body of one answer. See `ByteStream`."""

    def __init__(self, status: int, exchange: Exchange) -> None:
        self.status: Final = status
        self._exchange = exchange
        self._closed = False
        self._is_cut = False
        # Set while the body is poured: brings its end.
        self._poured: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether it was closed, or let go."""
        return self._closed

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes."""
        if self._closed:
            raise StopAsyncIteration
        try:
            data = await self._exchange.read()
        except BROKEN_BODY as error:
            if self._closed:  # our own close broke it
                raise StopAsyncIteration from None
            raise broken_body_error(error) from error
        if not data or self._closed:
            raise StopAsyncIteration
        return data

    def pour_soon(self, take: TakeBytes, on_over: Callable[[], None] | None = None) -> None:
        """Have the bytes taken from now on; `pour` is to follow. `on_over` is told if the body ends first."""
        poured = self._poured = asyncio.get_running_loop().create_future()

        def on_bytes(data: bytes) -> None:
            if not take(data) and not poured.done():
                self._exchange.pull()
                poured.set_result(None)

        def on_end(error: Exception | None) -> None:
            if not poured.done():
                _settle(poured, error)
                if on_over is not None:
                    on_over()

        self._exchange.push_to(on_bytes, on_end)

    async def pour(self, take: TakeBytes) -> None:
        """Have the bytes taken within the transport's callback. See `ByteStream`."""
        if self._closed:
            return
        if self._poured is None:
            self.pour_soon(take)
        assert self._poured is not None
        try:
            await self._poured
        except BROKEN_BODY as error:
            raise broken_body_error(error) from error
        finally:
            self._poured = None
            self._exchange.pull()

    def cut(self) -> bool:
        """Shut the connection down, now. That it is given up, and whoever pours woken, can wait."""
        self._exchange.shut()
        if not self._is_cut:
            self._is_cut = self._closed = True
            asyncio.get_running_loop().call_later(_GIVEN_UP_AFTER_S, self._exchange.close)
        return True

    async def close(self) -> None:
        """Close the connection, now: nothing is left to wait for."""
        self._closed = True
        self._exchange.close()
        if self._poured is not None and not self._poured.done():
            self._poured.set_result(None)

    def release(self) -> None:
        """Let go; the connection is kept if the body ends soon."""
        if self._closed:
            return
        self._closed = True
        if not self._exchange.ended:
            late = asyncio.get_running_loop().call_later(LINGER_S, self._exchange.close)
            self._exchange.push_to(_drop, _cancelling(late))


def _settle(poured: "asyncio.Future[None]", error: Exception | None) -> None:
    if error is None:
        poured.set_result(None)
    else:
        poured.set_exception(error)
        poured.exception()  # whoever is to wait for it may be gone


def _drop(_: bytes) -> None:
    pass


def _cancelling(timer: asyncio.TimerHandle) -> Callable[[Exception | None], None]:
    def cancel(_: Exception | None) -> None:
        timer.cancel()

    return cancel
