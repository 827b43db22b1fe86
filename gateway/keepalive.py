"""Keepalive: the pings of all WebSockets of a process, and the end of those that answer none.

Owns when each is pinged and when it has been silent for too long: a wheel of ticks and one timer, where a timer a
socket would cost half a KiB each. Does not own what a ping is. Guarantees: who is watched is pinged every `interval_s`,
or by a tick earlier, and is told to be silent no earlier than `timeout_s` after a ping that it did not answer, and no
more than a tick later.
"""

import asyncio
from typing import Final, Protocol

# Ticks in an interval: a ping may be early, and a time-out late, by one of them.
_TICKS: Final = 16


class Watched(Protocol):
    """A connection that is pinged. Both are called by the timer, and must not wait."""

    # The tick at which it is looked at; the wheel's alone.
    due_tick: int

    def ping(self) -> None:
        """Send a ping."""
        ...

    def on_silence(self) -> None:
        """No pong came in time; it is watched no more."""
        ...


class Keepalive:
    """The wheel. `interval_s` or `timeout_s` None or 0: no pings."""

    def __init__(self, interval_s: float | None, timeout_s: float | None) -> None:
        self._interval_s, self._timeout_s = interval_s or 0.0, timeout_s or 0.0
        self._tick_s = min(self._interval_s, self._timeout_s) / _TICKS
        # What is due at each tick, counted from the loop's zero: for their ping, and for their end.
        self._to_ping: dict[int, set[Watched]] = {}
        self._awaited: dict[int, set[Watched]] = {}
        # Set while anybody is watched.
        self._timer: asyncio.TimerHandle | None = None
        # The last tick that was looked at.
        self._tick = 0

    def watch(self, connection: Watched) -> None:
        """Ping this connection from now on."""
        if self._tick_s:
            self._turn_on()
            self._put(self._to_ping, connection, int(self._interval_s / self._tick_s))

    def heard(self, connection: Watched) -> None:
        """Take note of the pong: the next ping is due an interval from now."""
        if connection in self._awaited.get(connection.due_tick, ()):
            self._drop(self._awaited, connection)
            self._put(self._to_ping, connection, int(self._interval_s / self._tick_s))

    def leave(self, connection: Watched) -> None:
        """Watch this connection no more."""
        self._drop(self._to_ping, connection)
        self._drop(self._awaited, connection)

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() / self._tick_s)

    def _put(self, wheel: dict[int, set[Watched]], connection: Watched, ticks: int) -> None:
        connection.due_tick = self._now() + ticks
        wheel.setdefault(connection.due_tick, set()).add(connection)

    def _drop(self, wheel: dict[int, set[Watched]], connection: Watched) -> None:
        due = wheel.get(connection.due_tick)
        if due is not None:
            due.discard(connection)
            if not due:
                del wheel[connection.due_tick]

    def _turn_on(self) -> None:
        if self._timer is None:
            self._tick = self._now()
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._turn)

    def _turn(self) -> None:
        """Look at all that is due since the last look."""
        last, now = self._tick, self._now()
        self._tick, self._timer = now, None
        for tick in range(last + 1, now + 1):
            for connection in self._awaited.pop(tick, ()):
                connection.on_silence()
            for connection in self._to_ping.pop(tick, ()):
                # One tick more: it is the next one that must not come before the time-out is over.
                self._put(self._awaited, connection, int(self._timeout_s / self._tick_s) + 1)
                connection.ping()
        if self._to_ping or self._awaited:
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._turn)
