"""Sockets: all sockets of this gateway, and the streams over HTTP, which are drained and watched in the same way.

Owns what is done to many at once: the drain, which spreads its closes so that a fleet does not reconnect in one second,
and the watch for readers that are too slow, and for tokens that hold no more: one loop for thousands of connections.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from andon.closecodes import CLOSE_CODES, CloseCode
from andon.telemetry import SILENT, DrainStep, Telemetry
from gateway.auth.permit import Permit

_log = structlog.get_logger(__name__)

_WATCH_EVERY_S: Final = 0.5
_SPREAD: Final = 0.8  # of the drain's time; the rest is for the closing handshakes


class Open(Protocol):
    """A connection on which a client follows responses: a socket, or a stream over HTTP."""

    @property
    def permit(self) -> Permit | None:
        """What the client was let in with; None: nobody looks whether that still holds."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """End it after what is queued."""
        ...

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """End it if its reader is too far behind for too long; tell whether this did."""
        ...

    def lapse(self, reason: str) -> None:
        """End it with 3000: its permit holds no more. It is a detach, and no stop."""
        ...


class Sockets:
    """The open connections, and whether another is taken."""

    def __init__(
        self, *, slow_reader_s: float, lapsed: Callable[[Permit], str | None], telemetry: Telemetry = SILENT
    ) -> None:
        self._telemetry = telemetry
        self._slow_reader_s = slow_reader_s
        # Says why a permit holds no more; cheap enough to be asked for every connection at every look.
        self._lapsed = lapsed
        self._sockets: set[Open] = set()
        self.is_draining = False
        self._left = asyncio.Event()

    def __len__(self) -> int:
        """Return how many sockets are open."""
        return len(self._sockets)

    def add(self, socket: Open) -> None:
        """Count a socket in; one that comes while draining is told to go elsewhere at once."""
        self._sockets.add(socket)
        if self.is_draining:
            _restart(socket)

    def remove(self, socket: Open) -> None:
        """Count a socket out."""
        self._sockets.discard(socket)
        self._left.set()

    async def watch(self) -> None:
        """Close readers that are too slow, and those whose tokens hold no more, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            for socket in tuple(self._sockets):
                if socket.close_if_too_slow(loop.time(), self._slow_reader_s):
                    self._telemetry.reader_too_slow()
                if socket.permit is not None and (reason := self._lapsed(socket.permit)) is not None:
                    socket.lapse(reason)

    async def drain(self, within_s: float) -> None:
        """Close every socket with 1012, spread over the time; return when all are gone, or the time is over."""
        self.is_draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        sockets = list(self._sockets)
        random.shuffle(sockets)
        _log.info("drain.begun", sockets=len(sockets), drain_s=within_s)
        self._telemetry.drain(DrainStep.BEGUN)
        for left, socket in zip(range(len(sockets), 0, -1), sockets, strict=True):
            if socket not in self._sockets:
                continue  # it left by itself: nobody waits for its share of the time
            _restart(socket)
            pause_s = (deadline - within_s * (1 - _SPREAD) - loop.time()) / left
            if left > 1 and pause_s > 0:
                await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))
        while self._sockets and loop.time() < deadline:
            self._left.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._left.wait()
            except TimeoutError:
                break
        _log.info("drain.ended", sockets=len(self._sockets))
        self._telemetry.drain(DrainStep.CUT if self._sockets else DrainStep.CLEAN)


# A few sockets need not take the whole time.
_LONGEST_PAUSE_S: Final = 0.2


def _restart(socket: Open) -> None:
    reason, _, _ = CLOSE_CODES[CloseCode.RESTARTING]
    socket.close(CloseCode.RESTARTING, reason)
