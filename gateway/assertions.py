"""Assertions: stops that this gateway sends again and again until it sees them settled.

Owns which they are, and the round that sends them. Does not own the first sending of a stop (`gateway.stops`), nor the
wait of whoever asked. Guarantees: a failover that loses a mark but not this gateway does not lose the stop. Where no
replica had the mark, the failover may lose the ending as well, and the job would run again: then it is asserted for
`_HELD_S` longer.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.replies import StopOutcome, StopReceipt
from andon.stop_trace import trace_stop
from andon.store import Store
from andon.trail import Ask, Trail

_log = structlog.get_logger(__name__)

ASSERT_EVERY_S: Final = 1.0
# Longer than a master that was started again during its own failover takes writes that it will forget.
_HELD_S: Final = 10.0
# Policy when full: the oldest is no longer asserted; its mark is durable, and the sweep and the worker's beat see it.
_MOST_ASSERTED: Final = 50_000


class _Asserted(msgspec.Struct):
    ask: Ask
    # Not recorded yet, as far as is known: its outcome is still to be told to the audit.
    is_open: bool = False
    # No replica had it: a failover may lose it, and its ending, even after that was seen.
    is_unsafe: bool = False
    # Loop time until which it is asserted all the same; None: its ending was not seen.
    until: float | None = None


class Assertions:
    """Stops that were recorded, or may have been, and whose endings are not seen yet."""

    def __init__(self, store: Store, trail: Trail) -> None:
        self._store = store
        self._trail = trail
        # Oldest first.
        self._asserted: dict[ResponseId, _Asserted] = {}

    def keep(self, ask: Ask, receipt: StopReceipt) -> None:
        """Assert a stop that was recorded."""
        self._add(receipt.response_id, _Asserted(ask, is_unsafe=receipt.replicated is False))

    def take_up(self, ask: Ask, response_ids: Iterable[ResponseId]) -> None:
        """Assert stops whose answers nobody has: some may be recorded, some never sent."""
        for response_id in response_ids:
            self._add(response_id, _Asserted(ask, is_open=True))

    def _add(self, response_id: ResponseId, asserted: _Asserted) -> None:
        self._asserted[response_id] = asserted
        while len(self._asserted) > _MOST_ASSERTED:
            oldest = next(iter(self._asserted))
            del self._asserted[oldest]
            _log.warning("stop.no_longer_asserted", response=oldest)

    def saw_settled(self, response_id: ResponseId) -> None:
        """Take note that an ending was seen."""
        self._store.places.look_anew()
        asserted = self._asserted.get(response_id)
        if asserted is None:
            return
        if not asserted.is_unsafe:
            del self._asserted[response_id]
        elif asserted.until is None:
            asserted.until = asyncio.get_running_loop().time() + _HELD_S

    async def run(self) -> None:
        """Send them once a second, for ever."""
        while True:
            await asyncio.sleep(ASSERT_EVERY_S)
            for response_id, asserted in list(self._asserted.items()):
                self._store.telemetry.stop_asserted_again()
                try:
                    await self._send(response_id, asserted)
                except StoreUnavailable as error:
                    _log.warning("stop.assert_failed", error=str(error), pending=len(self._asserted))
                    break

    async def _send(self, response_id: ResponseId, asserted: _Asserted) -> None:
        if asserted.until is not None and asyncio.get_running_loop().time() > asserted.until:
            self._asserted.pop(response_id, None)
            return
        # Nobody waits for an answer, unless it is the first: then it does not wait for a replica either, or one that is
        # frozen would hold up all others.
        began_at = time.time()
        receipt = await send(self._store, response_id, asserted.ask, waits=asserted.is_open)
        if asserted.is_open:
            trace_stop(receipt, asserted.ask.asker, began_at=began_at)
            self._trail.follow(asserted.ask, [receipt])
            asserted.is_open, asserted.is_unsafe = False, receipt.replicated is False
        if receipt.outcome is StopOutcome.UNKNOWN:
            self._asserted.pop(response_id, None)
        elif receipt.outcome is StopOutcome.RECORDED and receipt.settled is None:
            asserted.until = None  # it runs; if it had ended, a failover has lost that
        else:
            self.saw_settled(response_id)


async def send(store: Store, response_id: ResponseId, ask: Ask, *, waits: bool = True) -> StopReceipt:
    """Run the stop script for an ask that the audit knows. Raises StoreUnavailable; a repeat is safe."""
    return await store.stop(response_id, ask.asker.owner, by=ask.asker.by, reason=ask.reason, waits=waits)
