"""Stops: this gateway's part in a stop.

Owns the call of the stop script, the repeated assertion until the stop is seen settled, and the bounded wait of
whoever asked. Guarantees: a stop that was answered as recorded is asserted again, by this gateway, until the job has
ended; a failover that loses the mark but not this gateway does not lose the stop.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec
import structlog

from andon.errors import StoreUnavailable
from andon.frames import Batch
from andon.ids import Principal, ResponseId, SessionTag, tag_of
from andon.replies import StopOutcome, StopReceipt
from andon.store import Store
from gateway.hub import Hub

_log = structlog.get_logger(__name__)

_ASSERT_EVERY_S: Final = 1.0
# Policy when full: the oldest is no longer asserted; its mark is durable, and the sweep and the worker's beat see it.
_MOST_ASSERTED: Final = 50_000
_REPEATS: Final = 3


class _Asserted(msgspec.Struct):
    principal: Principal | None
    by: str
    reason: str | None


class SettledWatch:
    """Waits for the ending of one response. A listener of the hub."""

    def __init__(self) -> None:
        # Set by an ending that was published, and when one may have been missed.
        self.changed = asyncio.Event()

    def on_batch(self, batch: Batch) -> None:
        """Take note of an ending."""
        if batch.terminal:
            self.changed.set()

    def on_missed(self) -> None:
        """Take note that an ending may have been missed."""
        self.changed.set()

    def on_audit(self) -> None:
        """Look once more."""
        self.changed.set()


class Stops:
    """Stops that this gateway was asked for."""

    def __init__(self, store: Store, hub: Hub, *, wait_s: float, on_settled: Callable[[SessionTag], None]) -> None:
        self._store = store
        self._hub = hub
        self._wait_s = wait_s
        # Told where a stop settled a job itself: a settlement record waits in that session's outbox.
        self._on_settled = on_settled
        # Recorded and not yet seen settled, oldest first.
        self._asserted: dict[ResponseId, _Asserted] = {}

    async def stop(
        self, response_ids: Iterable[ResponseId], principal: Principal | None, *, by: str, reason: str | None
    ) -> list[StopReceipt]:
        """Record stops, all at once. Raises StoreUnavailable if one could not be recorded; a repeat is safe.

        Cancelling the wait is safe: a stop that was sent may take effect.
        """
        receipts = await asyncio.gather(*(self._record(rid, principal, by, reason) for rid in response_ids))
        for receipt in receipts:
            if receipt.settled is not None:
                self._on_settled(tag_of(receipt.response_id))
            elif receipt.outcome is StopOutcome.RECORDED:
                self._assert(receipt.response_id, _Asserted(principal, by, reason))
        return list(receipts)

    async def _record(
        self, response_id: ResponseId, principal: Principal | None, by: str, reason: str | None
    ) -> StopReceipt:
        """Run the stop script; once more if its answer was lost, for a repeat asserts the same stop."""
        for _ in range(_REPEATS - 1):
            with contextlib.suppress(StoreUnavailable):
                return await self._store.stop(response_id, principal, by=by, reason=reason)
        return await self._store.stop(response_id, principal, by=by, reason=reason)

    async def leave(self, response_id: ResponseId, principal: Principal, *, reason: str) -> None:
        """Stop a response whose client left: nobody is there to be told, so what cannot be recorded now is later.

        Cancelling the wait is safe: a stop that was sent may take effect.
        """
        try:
            await self.stop([response_id], principal, by=principal.subject, reason=reason)
        except StoreUnavailable as error:
            _log.warning("stop.recorded_later", response=response_id, error=str(error))
            self._assert(response_id, _Asserted(principal, principal.subject, reason))

    def take_back(self, response_id: ResponseId, principal: Principal) -> None:
        """Stop a response whose submit was never answered, if it turns out that it was accepted. Does not wait."""
        self._assert(response_id, _Asserted(principal, "andon", "create_unanswered"))

    def _assert(self, response_id: ResponseId, asserted: _Asserted) -> None:
        self._asserted[response_id] = asserted
        while len(self._asserted) > _MOST_ASSERTED:
            oldest = next(iter(self._asserted))
            del self._asserted[oldest]
            _log.warning("stop.no_longer_asserted", response=oldest)

    @contextlib.asynccontextmanager
    async def watch(self, response_ids: Iterable[ResponseId]) -> AsyncIterator[dict[ResponseId, SettledWatch]]:
        """Listen for the endings of these responses; enter before their stop is sent."""
        watches = {response_id: SettledWatch() for response_id in response_ids}
        tags = {tag_of(response_id) for response_id in watches}
        try:
            for response_id, listener in watches.items():
                self._hub.add(response_id, listener)
            try:
                await asyncio.gather(*(self._hub.hold(tag) for tag in tags))
            except StoreUnavailable as error:
                # The stop matters more than its watching: `settled` reads the job when the wait is over.
                _log.info("stop.unwatched", error=str(error))
            yield watches
        finally:
            for response_id, listener in watches.items():
                self._hub.remove(response_id, listener)
            for tag in tags:
                self._hub.release(tag)

    async def settled(self, receipts: list[StopReceipt], watches: dict[ResponseId, SettledWatch]) -> list[StopReceipt]:
        """Wait until all these stops are settled, or the bound is over; return what is known then."""
        return list(await asyncio.gather(*(self._settled(receipt, watches) for receipt in receipts)))

    async def _settled(self, receipt: StopReceipt, watches: dict[ResponseId, SettledWatch]) -> StopReceipt:
        known = receipt
        try:
            async with asyncio.timeout(self._wait_s):
                while known.settled is None:
                    changed = watches[receipt.response_id].changed
                    await changed.wait()
                    changed.clear()
                    known = await self._progress(known)
        except TimeoutError:
            known = await self._progress(known)  # the bound: what is known by now is the answer
        return known

    async def _progress(self, receipt: StopReceipt) -> StopReceipt:
        """Read how far a stop has got; what is known already where Redis does not say."""
        try:
            progress = await self._store.progress(receipt.response_id)
        except StoreUnavailable:
            return receipt  # truthful all the same: it was recorded, and no more is known
        if progress.outcome is StopOutcome.UNKNOWN:
            return receipt
        if progress.settled is not None:
            self._asserted.pop(receipt.response_id, None)
        return msgspec.structs.replace(progress, replicated=receipt.replicated)

    async def assert_again(self) -> None:
        """Assert recorded stops again, for ever, until each is seen settled."""
        while True:
            await asyncio.sleep(_ASSERT_EVERY_S)
            asserted = dict(self._asserted)
            for response_id, stop in asserted.items():
                try:
                    receipt = await self._store.stop(response_id, stop.principal, by=stop.by, reason=stop.reason)
                except StoreUnavailable as error:
                    _log.warning("stop.assert_failed", error=str(error), pending=len(self._asserted))
                    break
                if receipt.outcome is not StopOutcome.RECORDED or receipt.settled is not None:
                    self._asserted.pop(response_id, None)
