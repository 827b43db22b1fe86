"""Waits: the requests of this gateway that wait for the end of a response, without a stream.

Owns what a drain does to them: they have most of its time to get their answer, for a client without a stream has seen
nothing yet, not even the response's id; then they are told where to go on.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from andon.closecodes import CLOSE_CODES, CloseCode
from gateway.http.follower import Follower

_PATIENCE: Final = 0.8  # of the drain's time; the rest is for the answers


class Waits:
    """The followers that somebody waits for."""

    def __init__(self) -> None:
        self._waiting: set[Follower] = set()
        # Set when none is left; a drain waits for it.
        self._none = asyncio.Event()

    @contextlib.contextmanager
    def waiting(self, follower: Follower) -> Iterator[None]:
        """Count a follower in for as long as the context lasts."""
        self._waiting.add(follower)
        self._none.clear()
        try:
            yield
        finally:
            self._waiting.discard(follower)
            if not self._waiting:
                self._none.set()

    async def drain(self, within_s: float) -> None:
        """Wait until all have their answer, or the time is over; end those that last too long."""
        for share in (_PATIENCE, 1 - _PATIENCE):
            if not self._waiting:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s * share):
                    await self._none.wait()
            for follower in self._waiting:
                follower.close(CloseCode.RESTARTING, CLOSE_CODES[CloseCode.RESTARTING][0])
