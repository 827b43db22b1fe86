"""Switch: the dead-man's switch of one life of a worker.

Owns the judgement, on this machine's monotonic clock, that this worker may no longer be trusted to hear stops. It is
a thread of its own, because the event loop may be what hangs. Counted from when the last successful renewal was
*sent*: Redis started to count later, so this clock runs out first. At 0.8 of the lease it fires; a loop that does not
answer within the whole lease ends the process. A stream that can't be stopped does not run.

A process frozen by SIGSTOP can't act; its time runs from when it is thawed.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

_FIRE_AT: Final = 0.8
_LOOKS_A_LEASE: Final = 50
EXIT_CODE_HUNG: Final = 70  # sysexits' EX_SOFTWARE: a supervisor sees that this was no clean end


def _end_process() -> None:
    os._exit(EXIT_CODE_HUNG)


class Switch:
    """Fires once a life. `renewed` feeds it."""

    def __init__(
        self,
        lease_s: float,
        *,
        on_fire: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        end_process: Callable[[], None] = _end_process,
    ) -> None:
        self._lease_s = lease_s
        self._on_fire = on_fire
        self._clock = clock
        self._end_process = end_process
        self._loop = asyncio.get_running_loop()
        # Clock time at which the last successful renewal was sent.
        self._renewed_at = clock()
        # Set by the loop when it has closed the streams; until then the thread holds the process to account.
        self._answered = threading.Event()
        self._over = threading.Event()
        self.fired = False

    def renewed(self, sent_at: float) -> None:
        """Take note of a successful renewal that was sent at this clock time."""
        self._renewed_at = max(self._renewed_at, sent_at)

    @contextlib.contextmanager
    def armed(self) -> Iterator["Switch"]:
        """Watch for as long as the context lasts."""
        thread = threading.Thread(target=self._watch, name="andon-switch", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(self._lease_s / _LOOKS_A_LEASE):
            age_s = self._clock() - self._renewed_at
            if age_s < _FIRE_AT * self._lease_s:
                continue
            try:
                self._loop.call_soon_threadsafe(self._fire)
            except RuntimeError:
                return  # the loop is closed: the process ends already
            # The loop has until the lease is over, and never less than a look's time after a thaw.
            patience_s = max(self._lease_s - age_s, (1 - _FIRE_AT) * self._lease_s)
            if not self._answered.wait(patience_s) and not self._over.is_set():
                self._end_process()
            return

    def _fire(self) -> None:
        """Close the streams, within the loop. A renewal that came in between does not undo it: the id is burnt."""
        self.fired = True
        _log.error("switch.fired", age_s=round(self._clock() - self._renewed_at, 3), lease_s=self._lease_s)
        self._on_fire()
        self._answered.set()
