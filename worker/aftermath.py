"""Aftermath: what follows the closing of upstreams, once closings have stopped coming.

Owns when the rest of a stop is done: the end of its reader, its settlement, its log line. A closing takes some ten
microseconds, its aftermath half a millisecond of the same processor, which the model server (on the same machine) and
the next stop of a storm would wait for. Does not own what is done.

Guarantees: what is given is called once, in its order, within the bound; a few at a time, so that stops are heard in
between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

After: TypeAlias = Callable[[Callable[[], None]], None]

# Longer than the gap between two stops of a storm.
_QUIET_S: Final = 0.002
# A client sees its ending so much later at the very most.
_MOST_S: Final = 0.1
_AT_ONCE: Final = 16


class Aftermath:
    """Calls that wait for quiet. Used from one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Bounded by the runs of this worker: each gives one call.
        self._waiting: deque[Callable[[], None]] = deque()
        # Loop times: of the last that was given, and at which the first must be called at the latest.
        self._last_at = 0.0
        self._due_at = 0.0
        # A look is to come.
        self._is_looking = False

    def __call__(self, call: Callable[[], None]) -> None:
        """Have this called once nothing more has been given for a moment."""
        self._last_at = self._loop.time()
        self._waiting.append(call)
        if not self._is_looking:
            self._is_looking = True
            self._due_at = self._last_at + _MOST_S
            self._loop.call_later(_QUIET_S, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        quiet_at = min(self._last_at + _QUIET_S, self._due_at)
        if quiet_at > now:
            self._loop.call_at(quiet_at, self._look)
            return
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            self._loop.call_soon(self._look)
        else:
            self._is_looking = False


def at_once(call: Callable[[], None]) -> None:
    """Call it now: the plain version of an aftermath."""
    call()
