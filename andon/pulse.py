"""Pulse: what a process asks Redis every few seconds, for its metrics alone.

Owns how long the oldest job has waited for a worker, how far Redis' clock is ahead of this machine's, and how long an
answer took. Reads only. Guarantees: the rate is bounded, however often somebody scrapes; what Redis has not said for a
while is not known, and said to be so.

Queue entries are hints: one may name a job that was stopped, or claimed this moment. So the job hashes behind the first
entries are asked, and only a job that is queued counts as one that waits.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from andon import keys
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.ids import ResponseId

_log = structlog.get_logger(__name__)

_EVERY_S: Final = 2.0
_STALE_S: Final = 20.0
_PAGE: Final = 16
# Entries of jobs that wait no more gather where no worker reads the queue; how many are looked behind at most.
_MOST_PAGES: Final = 20
_SAMPLES: Final = 8


class Pulse:
    """The pulse of one process. `run` it beside everything else."""

    def __init__(
        self, database: Database, *, on_round_trip: Callable[[float], None], every_s: float = _EVERY_S
    ) -> None:
        self._database = database
        self._on_round_trip = on_round_trip
        self._every_s = every_s
        self._oldest_s = 0.0
        # Monotonic time of the last look that Redis answered.
        self._looked_at = -_STALE_S
        # The last round trips, with how far ahead Redis' clock was: the shortest trip tells it best.
        self._clocks: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)

    @property
    def queue_age_s(self) -> float | None:
        """How long the oldest job has waited, 0 if none waits; None if Redis has not said so for a while."""
        return self._oldest_s if time.monotonic() - self._looked_at < _STALE_S else None

    @property
    def clock_ahead_s(self) -> float | None:
        """By how much Redis' clock is ahead of this machine's; None before the first answer."""
        return min(self._clocks)[1] if self._clocks else None

    async def run(self) -> None:
        """Look for ever. Cancelling it is safe: it reads only."""
        while True:
            try:
                await self.look()
            except (StoreUnavailable, RedisError) as error:
                _log.debug("pulse.not_felt", error=str(error))
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311  spreads processes

    async def look(self) -> None:
        """Look once. Raises StoreUnavailable or RedisError."""
        sent_at, sent_monotonic = time.time(), time.monotonic()
        seconds, micros = await self._database.call("TIME")
        trip_s = time.monotonic() - sent_monotonic
        redis_now = int(seconds) + int(micros) / 1e6
        self._clocks.append((trip_s, redis_now - (sent_at + trip_s / 2)))
        self._on_round_trip(trip_s)
        since = await self._oldest()
        self._oldest_s = 0.0 if since is None else max(0.0, redis_now - since)
        self._looked_at = time.monotonic()

    async def _oldest(self) -> float | None:
        """Find since when the oldest queued job waits, in Unix seconds of Redis; None if none does."""
        start = "-"
        for _ in range(_MOST_PAGES):
            rows = await self._database.call("XRANGE", keys.QUEUE, start, "+", "COUNT", _PAGE)
            asked = [
                self._database.call("HMGET", keys.job(ResponseId(fields[1].decode())), "state", "queued_at")
                for _, fields in rows
            ]
            jobs: list[Any] = [await reply for reply in asked]
            waiting = [float(queued_at) for state, queued_at in jobs if state == b"queued" and queued_at]
            if waiting:
                return min(waiting)
            if len(rows) < _PAGE:
                return None
            start = f"({rows[-1][0].decode()}"
        return None
