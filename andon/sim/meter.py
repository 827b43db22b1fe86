"""The meter: what a provider would know and bill for each request. The proof that an upstream was really closed.

Owns the records, the count of open requests, and the wait for either. Does not own when a record changes: the
answer of a request writes its own.

Guarantees: a record never holds a credential; the ring is bounded and drops the oldest; `totals` and `open` are
right also for what the ring has dropped.
"""

import asyncio
import time
from collections import deque
from typing import Any, Literal, TypeAlias

import msgspec

_RING = 20_000  # requests: hours of tests, minutes of a benchmark, some 10 MB

State: TypeAlias = Literal["open", "idle"]


class Record(msgspec.Struct, eq=False):
    """One request, as the sim saw it. Times are Unix seconds."""

    id: str
    api: Literal["responses", "chat"]
    received_at: float
    # Whether a credential came with it; which one is nobody's business.
    authorized: bool
    # The trace that it came with (W3C Trace Context).
    traceparent: str | None = None
    model: str = ""
    stream: bool = False
    key: str | None = None
    prompt: str = ""
    user: str | None = None
    # The HTTP status sent; None while, or if, no headers went out.
    status: int | None = None
    first_token_at: float | None = None
    # Handed to the socket (or, unstreamed, generated before the answer): what would be billed.
    tokens_generated: int = 0
    # The answer went out whole, its ending included. An error or a fault leaves it false.
    finished: bool = False
    client_closed: bool = False
    # When the sim saw its client go.
    closed_at: float | None = None
    ended_at: float | None = None

    def count(self, tokens: int) -> None:
        """Note that so many more tokens went out."""
        if tokens and self.first_token_at is None:
            self.first_token_at = time.time()
        self.tokens_generated += tokens


class _Totals(msgspec.Struct):
    requests: int = 0
    tokens_generated: int = 0
    finished: int = 0
    client_closed: int = 0

    def add(self, record: Record) -> None:
        self.tokens_generated += record.tokens_generated
        self.finished += record.finished
        self.client_closed += record.client_closed


class Meter:
    """The records of one server."""

    def __init__(self) -> None:
        # Oldest first; what falls out at the front lives on in the totals only.
        self._ring: deque[Record] = deque(maxlen=_RING)
        # Requests that have not ended, whether in the ring or not: a reset must not hide them from `open`.
        self._open: set[Record] = set()
        # Of requests begun since the last reset; tokens and outcomes are added as they end.
        self._totals = _Totals()
        # Those of the open ones that began before the last reset: their end enters no total.
        self._stale: set[Record] = set()
        # Replaced at each change, so that every waiter of the old one looks again.
        self._changed = asyncio.Event()

    def begin(self, record: Record) -> None:
        """Enter a request that has just arrived."""
        self._ring.append(record)
        self._open.add(record)
        self._totals.requests += 1
        self._wake()

    def end(self, record: Record) -> None:
        """Close a record; it does not change any more."""
        record.ended_at = time.time()
        self._open.discard(record)
        if record in self._stale:
            self._stale.discard(record)
        else:
            self._totals.add(record)
        self._wake()

    def reset(self) -> None:
        """Forget all requests and totals. Those still open stay counted as open."""
        self._ring.clear()
        self._totals = _Totals()
        self._stale = set(self._open)

    def view(self, key: str | None) -> dict[str, Any]:
        """Show the records, those of one `sim_key` only if it is given, with their totals."""
        if key is None:
            totals = msgspec.structs.replace(self._totals)
            for record in self._open - self._stale:
                totals.add(record)
            return {"requests": list(self._ring), "open": len(self._open), "totals": totals}
        mine = [record for record in self._ring if record.key == key]
        totals = _Totals(requests=len(mine))
        for record in mine:
            totals.add(record)
        return {"requests": mine, "open": sum(record.key == key for record in self._open), "totals": totals}

    async def wait(self, key: str | None, state: State, timeout_s: float) -> None:
        """Wait until a request (of that key) is open, or until some came and all have ended, or the time is up.

        Cancelling it is safe. Returns without saying which it was: the view tells.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is(state, key):
                    await self._changed.wait()
        except TimeoutError:
            return

    def _is(self, state: State, key: str | None) -> bool:
        is_open = any(key is None or record.key == key for record in self._open)
        if state == "open":
            return is_open
        return not is_open and any(key is None or record.key == key for record in self._ring)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
