"""Stream: one run of a source of one's own.

Owns the task in which the generator runs from its first step to its last, its `aclose` included: so what it holds
across a `yield` (a cancel scope, a task group, a context variable, a timeout) sees one task and one context. Owns the
fence.

Guarantees: once closed, nothing more of it is handed on, whatever it yields; it is cancelled once, so that its
`finally` is not cut short; whoever closes waits for its end no longer than the grace, and then it is left behind. It is
held back while what it yielded has not been taken, so a generator that never awaits starves nobody.

CPython 3.11 loses some cancellations (see `worker.pump`), and a function may swallow one: then its next `yield` is its
last, for the fence is looked at there.
"""

import asyncio
import traceback
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Self

import structlog

from andon.pieces import Piece
from worker.upstream.own.complaints import class_name, raised_failure, silent_failure
from worker.upstream.own.events import OwnTranslator
from worker.upstream.own.function import OwnFunction

_log = structlog.get_logger(__name__)

# What a `finally` may take while the ending waits for it: closing a connection takes milliseconds. An ending waits no
# longer, for it is what everybody waits for who pressed stop.
GRACE_S: Final = 0.5
_MOST_GATHERED: Final = 64
_FRAMES_LOGGED: Final = 8


class OwnStream:
    """What one run of the function yields, as pieces. Meets `PieceStream`."""

    def __init__(
        self,
        function: OwnFunction,
        request: dict[str, Any],
        *,
        gap_s: float,
        on_left_behind: Callable[["asyncio.Task[None]"], None],
    ) -> None:
        self._name = function.name
        self._gap_s = gap_s
        self._on_left_behind = on_left_behind
        self._translator = OwnTranslator(function.name)
        # Pieces that were not taken yet; bounded, since the generator waits for `_room`.
        self._gathered: list[Piece] = []
        self._room = asyncio.Event()
        # Set at each yield, at the end and at the close: the reader looks again.
        self._news = asyncio.Event()
        # The fence: nothing is handed on any more.
        self._closed = False
        self._cancelled = False
        # Set when its closer need not wait any longer: it ended, or it was left behind.
        self._over = asyncio.Event()
        self.left_behind = False
        self._patience: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(function.generate, request))
        self._task.add_done_callback(self._ended)

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The latest usage the source told, or None."""
        return self._translator.usage_so_far

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> list[Piece]:
        """Return the next pieces. See `PieceStream`."""
        while not (self._gathered or self._closed or self._task.done()):
            self._news.clear()
            try:
                async with asyncio.timeout(self._gap_s):
                    await self._news.wait()
            except TimeoutError:
                if not self._news.is_set():
                    self._fence()
                    return self._translator.fail(silent_failure(self._name, self._gap_s))
        if self._closed or not self._gathered:
            raise StopAsyncIteration
        pieces, self._gathered = self._gathered, []
        self._room.set()
        return pieces

    async def pour(self, take: Callable[[list[Piece]], bool]) -> None:
        """Have the pieces taken as they come. See `PieceStream`."""
        async for pieces in self:
            if not take(pieces):
                return

    def cut(self) -> bool:
        """Fence it off and cancel it; whether it ends by that is its own affair."""
        self._fence()
        return False

    async def close(self) -> None:
        """Fence it off, cancel it, and wait for its end, but no longer than the grace. See `PieceStream`."""
        self._fence()
        await self._over.wait()

    def _fence(self) -> None:
        self._closed = True
        self._news.set()
        if not self._cancelled and not self._task.done():
            self._cancelled = True
            self._patience = asyncio.get_running_loop().call_later(GRACE_S, self._leave_behind)
            self._task.cancel()

    def _leave_behind(self) -> None:
        if not self._task.done():
            self.left_behind = True
            self._on_left_behind(self._task)
            self._over.set()

    def _ended(self, _: "asyncio.Task[None]") -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._news.set()
        self._over.set()

    async def _run(
        self, generate: Callable[[dict[str, Any]], AsyncGenerator[Any, None]], request: dict[str, Any]
    ) -> None:
        """Run the generator to its end. Its exceptions end here, in the response's failure and in the log."""
        try:
            generator = generate(request)
            try:
                await self._read(generator)
            finally:
                # Where it is suspended at a `yield`: its `finally` runs here, in the task that it knows.
                await generator.aclose()
        except (Exception, SystemExit, BaseExceptionGroup, asyncio.CancelledError) as error:
            if self._cancelled and isinstance(error, asyncio.CancelledError):
                raise
            self._report(error)

    async def _read(self, generator: AsyncGenerator[Any, None]) -> None:
        async for value in generator:
            if self._closed:
                return  # it swallowed its cancellation: what it goes on to say is nobody's
            self._gather(self._translator.take(value))
            if self._translator.finished:
                return
            while len(self._gathered) >= _MOST_GATHERED and not self._closed:
                self._room.clear()
                await self._room.wait()
        self._gather(self._translator.end())

    def _gather(self, pieces: list[Piece]) -> None:
        self._gathered += pieces
        self._news.set()  # also for no pieces at all: a sign of life

    def _report(self, error: BaseException) -> None:
        """Fail the response, and say where: the class and the places, but not the text, which may hold a secret."""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
        places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        _log.warning("source.raised", source=self._name, error=class_name(error), places=places, stopped=self._closed)
        if not (self._closed or self._translator.finished):
            self._gather(self._translator.fail(raised_failure(self._name, error)))
