"""Pace: one timer for all streams, which writes what is due, a batch each millisecond.

Owns when a token is written. Guarantees: a stream's tokens are due at even distances from its start, however late the
one before was; nobody waits for a stream whose reader does not read; no timer runs while there is no stream.
"""

import asyncio
from typing import Final, Protocol

from bench.ask import mark, now_us

_SLOTS: Final = 4096
_TICK_US: Final = 1000
LATE_US: Final = 5000


class Paced(Protocol):
    """A stream, as the wheel sees it."""

    # When its next token is due.
    due_us: int

    def write_due(self, at_us: int, text: bytes) -> bool:
        """Write what is due; tell whether more will be. `text` is the mark of `at_us`."""


class Wheel:
    """Slots of a millisecond each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[list[Paced]] = [[] for _ in range(_SLOTS)]
        # The next tick to look at: microseconds / 1000, not reduced to a slot.
        self._tick = 0
        self._streams = 0

    def add(self, stream: Paced) -> None:
        """Write this stream's tokens as they fall due."""
        if self._streams == 0:
            self._tick = now_us() // _TICK_US
            self._loop.call_later(0.001, self._turn)
        self._streams += 1
        self._put(stream)

    def _put(self, stream: Paced) -> None:
        # What is due farther off than the wheel reaches waits in its last slot, and is put again.
        tick = min(max(stream.due_us // _TICK_US, self._tick), self._tick + _SLOTS - 1)
        self._slots[tick % _SLOTS].append(stream)

    def _turn(self) -> None:
        at_us = now_us()
        text, last = mark(at_us), at_us // _TICK_US
        while self._tick <= last:
            slot = self._slots[self._tick % _SLOTS]
            self._tick += 1
            if not slot:
                continue
            self._slots[(self._tick - 1) % _SLOTS] = []
            for stream in slot:
                if stream.due_us > at_us + _TICK_US or stream.write_due(at_us, text):
                    self._put(stream)
                else:
                    self._streams -= 1
        if self._streams:
            self._loop.call_later(0.001, self._turn)
