"""Source: a function of one's own as the model of a worker.

Owns what the function is asked, and the runs that were left behind: stopped, fenced off, and going on all the same.
They are reported, counted, and bounded. Nothing but the end of the process ends code that swallows its cancellation,
and whatever it spends cannot be stopped. So above the bound the worker asks for its own end (`on_worn_out`): it claims
no more, drains, and leaves its place to a fresh process. Merely claiming no more would keep the runs and the place.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import structlog

from andon.tracing import Attribute, here
from andon.turns import as_items
from worker.upstream.own.function import OwnFunction
from worker.upstream.own.stream import OwnStream
from worker.upstream.source import OnBegun, TakePieces

_log = structlog.get_logger(__name__)

# Each holds what a response holds, and spends what its model costs. A function with a fault in it gets here soon at any
# bound; one that is only slow to clean up under load should not.
MOST_LEFT_BEHIND: Final = 16
_LAST_WORDS_S: Final = 1.0

# Answered or resolved before the request gets here, or a matter of the wire.
_DROPPED: Final = frozenset({"background", "generate", "previous_response_id", "stream", "stream_options"})


class OwnSource:
    """An async generator function in a model server's place. Meets `Source`. An async context manager."""

    def __init__(self, function: OwnFunction, *, gap_s: float, on_worn_out: Callable[[], None]) -> None:
        self._function = function
        self._gap_s = gap_s
        self._on_worn_out = on_worn_out
        self._left: set[asyncio.Task[None]] = set()
        self.worn_out = False

    @property
    def left_behind(self) -> int:
        """How many runs were left and have not ended."""
        return len(self._left)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel once more what was left behind. What goes on after that goes on until the process ends."""
        left = set(self._left)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS_S)

    @asynccontextmanager
    async def open(
        self, body: dict[str, Any], take: TakePieces | None = None, begun: OnBegun | None = None
    ) -> AsyncIterator[OwnStream]:
        """Run the function. See `Source`; never raises UpstreamError.

        What fails is a Finish, also before the first event: a function may have acted before it says something, so it
        is not for us to run it again.
        """
        del take, begun  # a function's pieces are for `pour`, and it is entered at once
        here().set({Attribute.GEN_AI_PROVIDER: self._function.name})
        stream = OwnStream(self._function, _request(body), gap_s=self._gap_s, on_left_behind=self._leave_behind)
        try:
            yield stream
        finally:
            await stream.close()

    def _leave_behind(self, task: "asyncio.Task[None]") -> None:
        self._left.add(task)
        task.add_done_callback(self._ended_late)
        _log.warning(
            "source.left_behind", source=self._function.name, left_behind=len(self._left), most=MOST_LEFT_BEHIND
        )
        if len(self._left) > MOST_LEFT_BEHIND and not self.worn_out:
            self.worn_out = True
            _log.error("source.worn_out", source=self._function.name, left_behind=len(self._left))
            self._on_worn_out()

    def _ended_late(self, task: "asyncio.Task[None]") -> None:
        self._left.discard(task)
        _log.info("source.ended_late", source=self._function.name, left_behind=len(self._left))


def _request(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the function is given: a copy of its own, whose `input` is always a list of items."""
    request = {name: copy.deepcopy(value) for name, value in body.items() if name not in _DROPPED}
    return {**request, "input": as_items(request.get("input"))}
