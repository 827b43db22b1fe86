"""Sources that a test holds in its hand: what they yield, when, and how they take their cancellation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from andon.pieces import Cause, Delta, Failure, Finish, Piece
from worker.upstream.errors import UpstreamError
from worker.upstream.source import PieceStream

REQUEST: dict[str, Any] = {"model": "m", "input": "hi"}
FINISH = Finish("completed", {}, None)
FAILURE = Failure("server_error", Cause.UPSTREAM_ERROR, "The model server failed.")


def text(words: str = "x") -> Delta:
    """Make a text delta."""
    return Delta("response.output_text.delta", "msg_1", 0, ("content_index", 0), words)


class FakeStream:
    """A stream that yields what is put into it; None ends it without a finish."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[list[Piece] | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.usage_so_far: dict[str, Any] | None = None
        self.left_behind = False
        # How many cancellations the reading still swallows.
        self.swallows = 0
        # Whether a cut closes it, and how often it was cut.
        self.cut_closes = False
        self.cuts = 0

    def put(self, *pieces: Piece) -> None:
        """Yield these pieces next."""
        self._queue.put_nowait(list(pieces))

    def end(self, error: Exception | None = None) -> None:
        """End the iteration, or let it crash."""
        self._queue.put_nowait(error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Piece]:
        item = await self._next()
        if isinstance(item, Exception):
            raise item
        if item is None:
            raise StopAsyncIteration
        return item

    async def _next(self) -> list[Piece] | Exception | None:
        """Wait for what comes next, or the close; as CPython 3.11 may, lose a cancellation on the way."""
        while True:
            getting = asyncio.ensure_future(self._queue.get())
            closing = asyncio.ensure_future(self.closed.wait())
            try:
                await asyncio.wait({getting, closing}, return_when=asyncio.FIRST_COMPLETED)
                return getting.result() if getting.done() else None
            except asyncio.CancelledError:
                if not self.swallows:
                    raise
                self.swallows -= 1
            finally:
                getting.cancel()
                closing.cancel()

    async def pour(self, take: Callable[[list[Piece]], bool]) -> None:
        """Have the pieces taken."""
        async for pieces in self:
            if not take(pieces):
                return

    def cut(self) -> bool:
        """Change nothing: what a cut does not do, the cancel and the close do."""
        self.cuts += 1
        return self.cut_closes

    async def close(self) -> None:
        """End the iteration from outside."""
        self.closed.set()


class FakeSource:
    """Opens streams; fails, waits or crashes first where it is told to."""

    left_behind = 0

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.stream = FakeStream()
        self.opened = 0
        # Tell of the stream before `open` lets through.
        self.begins_early = False
        # Set while somebody waits within `open`, and cleared to let it through.
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    @asynccontextmanager
    async def open(
        self,
        body: dict[str, Any],
        take: Callable[[list[Piece]], bool] | None = None,
        begun: Callable[[PieceStream], None] | None = None,
    ) -> AsyncIterator[FakeStream]:
        """Ask for a response."""
        del take
        if begun is not None and self.begins_early:
            begun(self.stream)
        assert body == REQUEST
        self.opened += 1
        self.entered.set()
        try:
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
            yield self.stream
        finally:
            self.left.set()


def failure(*, retryable: bool, retry_after_s: float | None = None) -> UpstreamError:
    """Make the error of a request that failed."""
    return UpstreamError(FAILURE, retryable=retryable, retry_after_s=retry_after_s)
