"""Lookout: what clients say is heard while there is much to forward, too.

Owns how often a busy gateway looks at its sockets, and which those are. The event loop takes in all that is ready
before it looks anew at what has become ready: with a thousand streams that speak at once a turn takes some 50 ms, for
which a stop would wait. So whoever has forwarded a batch says so here, and once a turn has become long, the sockets on
which something has come are read every few batches. An epoll of its own finds them, whatever their number; the loop has
another, which finds that gone which was read here. Does not own the reading (a socket's own), nor the loop.

Guarantees: a descriptor is looked at from `watch` to `leave`, or until its socket has had enough of it; one that
`leave` was called for may be closed, and its number come back as another's.
"""

import asyncio
import select
import time
from typing import Final, Protocol

# Batches of some 30 us; a look that finds nothing takes 1.
_EVERY: Final = 16
# What a stop may wait for its turn: looking in shorter ones costs a storm of stops more than it spares.
_LONG_S: Final = 0.004
# Sockets that are read at one look; what is ready beyond them comes first at the next one.
_AT_ONCE: Final = 16
_NOWHERE: Final = -1


class Glancing(Protocol):
    """A connection that can be read though it is not its turn. It must not fail, nor wait."""

    def glance(self, descriptor: int) -> bool:
        """Take what has come already; tell whether to be looked at again."""
        ...


class Lookout(Protocol):
    """Call it after each piece of work, where everything is in order: it may tell sockets what their clients sent."""

    def __call__(self) -> None:
        """Look, if it is time."""
        ...

    def watch(self, connection: Glancing, transport: asyncio.BaseTransport) -> int:
        """Look at a connection from now on, if that can be; return its descriptor for `leave`."""
        ...

    def leave(self, descriptor: int) -> None:
        """Look at it no more. To be called before it is closed; may be repeated until then."""
        ...


class Blind:
    """Looks at nothing: the plain version; the loop brings every frame in its turn."""

    def __call__(self) -> None:
        """Do nothing."""

    def watch(self, connection: Glancing, transport: asyncio.BaseTransport) -> int:
        """Do nothing."""
        del connection, transport
        return _NOWHERE

    def leave(self, descriptor: int) -> None:
        """Do nothing."""


BLIND: Final = Blind()


class Watch:
    """Looks at all that it was given, where the system has epoll."""

    def __init__(self, *, every: int = _EVERY, long_s: float = _LONG_S) -> None:
        self._every = every
        self._long_s = long_s
        # Pieces of work in this turn since the last look.
        self._pieces = 0
        # When the first of them were done (monotonic); None before that.
        self._began_at: float | None = None
        # By descriptor: those that are looked at.
        self._connections: dict[int, Glancing] = {}
        # Closed with this object; it keeps nothing open that it looks at.
        self._ready = select.epoll()

    def __len__(self) -> int:
        """Return how many are looked at."""
        return len(self._connections)

    def __call__(self) -> None:
        """Look, if it is time."""
        self._pieces += 1
        if self._pieces < self._every:
            return
        self._pieces = 0
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
            asyncio.get_running_loop().call_soon(self._turn)
        if now - self._began_at >= self._long_s:
            self.look()

    def _turn(self) -> None:
        self._began_at, self._pieces = None, 0

    def look(self) -> None:
        """Let those be read on which something has come."""
        for descriptor, _ in self._ready.poll(0, _AT_ONCE):
            connection = self._connections.get(descriptor)
            if connection is not None and not connection.glance(descriptor):
                self.leave(descriptor)

    def watch(self, connection: Glancing, transport: asyncio.BaseTransport) -> int:
        """Look at a connection from now on, unless it speaks TLS: then its bytes are not what the client said."""
        plug = transport.get_extra_info("socket")
        if plug is None or transport.get_extra_info("sslcontext") is not None:
            return _NOWHERE
        descriptor: int = plug.fileno()
        self._ready.register(descriptor, select.EPOLLIN)
        self._connections[descriptor] = connection
        return descriptor

    def leave(self, descriptor: int) -> None:
        """Look at it no more."""
        if self._connections.pop(descriptor, None) is not None:
            self._ready.unregister(descriptor)


def lookout_here() -> Lookout:
    """Make a lookout as good as this system has one."""
    return Watch() if hasattr(select, "epoll") else BLIND
