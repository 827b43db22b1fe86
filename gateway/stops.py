"""Stops: this gateway's part in a stop.

Owns the call of the stop script, the repeated assertion until the stop is seen settled, and the bounded wait of
whoever asked. Guarantees: a stop that was answered as recorded is asserted again, by this gateway, until the job has
ended; a failover that loses the mark but not this gateway does not lose the stop. Where no replica had the mark, the
failover may lose the ending as well, and the job would run again: then it is asserted for `_HELD_S` longer. A stop
whose asker left before it was answered is carried out all the same.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import structlog

from andon.audit import Asker, Outcome, Role
from andon.errors import StoreUnavailable
from andon.frames import Batch
from andon.ids import ResponseId, SessionTag, tag_of
from andon.lifetime import Spawned
from andon.replies import StopOutcome, StopReceipt
from andon.stop_trace import trace_stop
from andon.store import Store
from andon.trail import Ask, Trail
from gateway.hub import Hub

_log = structlog.get_logger(__name__)

_ASSERT_EVERY_S: Final = 1.0
# Longer than a master that was started again during its own failover takes writes that it will forget.
_HELD_S: Final = 10.0
# Policy when full: the oldest is no longer asserted; its mark is durable, and the sweep and the worker's beat see it.
_MOST_ASSERTED: Final = 50_000
_REPEATS: Final = 3
# For stops whose asker has left, at the end of the process.
_LAST_WORDS_S: Final = 1.0
# Why a create is taken back that nobody can ask for again.
CREATE_UNANSWERED: Final = "create_unanswered"


class _Asserted(msgspec.Struct):
    ask: Ask
    # Not recorded yet, as far as is known: its outcome is still to be told to the audit.
    is_open: bool = False
    # No replica had it: a failover may lose it, and its ending, even after that was seen.
    is_unsafe: bool = False
    # Loop time until which it is asserted all the same; None: its ending was not seen.
    until: float | None = None


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


class Watching:
    """Listens for the endings of responses, within the block. Enter it in the call in which their stop is sent.

    The stop does not wait for it: where the subscription is confirmed later, the watch is told that it may have missed
    the ending, and the job is read.
    """

    def __init__(self, hub: Hub, response_ids: Iterable[ResponseId]) -> None:
        self._hub = hub
        self.watches = {response_id: SettledWatch() for response_id in response_ids}
        self._tags = {tag_of(response_id) for response_id in self.watches}

    def __enter__(self) -> Self:
        """Listen."""
        for response_id, listener in self.watches.items():
            self._hub.add(response_id, listener)
        for tag in self._tags:
            self._hub.hold_soon(tag)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        for response_id, listener in self.watches.items():
            self._hub.remove(response_id, listener)
        for tag in self._tags:
            self._hub.release(tag)


class Begun(msgspec.Struct, frozen=True):
    """A stop of one response that was sent. Leave its `watching`."""

    response_id: ResponseId
    ask: Ask
    # Unix seconds.
    at: float
    reply: "asyncio.Future[Any]"
    watching: Watching


class Stops:
    """Stops that this gateway was asked for."""

    def __init__(
        self, store: Store, hub: Hub, trail: Trail, *, wait_s: float, on_settled: Callable[[SessionTag], None]
    ) -> None:
        self._store = store
        self._hub = hub
        self._trail = trail
        self._wait_s = wait_s
        # Told where a stop settled a job itself: a settlement record waits in that session's outbox.
        self._on_settled = on_settled
        # Recorded and not yet seen settled, oldest first.
        self._asserted: dict[ResponseId, _Asserted] = {}
        # Stops whose asker has left.
        self._unattended = Spawned(_unattended_crashed)

    def begin(self, response_id: ResponseId, asker: Asker, *, reason: str | None) -> Begun | None:
        """Send the stop of one response within this call, and listen for its ending; `finish` is to be awaited.

        None: it has to wait for a replica, so it is to be asked for by `stop`, as a whole.
        """
        store = self._store
        if not store.may_begin_stop(response_id):
            return None
        at = time.time()
        store.database.hold()
        try:
            ask = self._trail.ask(asker, (response_id,), reason=reason)
            reply = store.begin_stop(response_id, asker.owner, by=asker.by, reason=reason)
        finally:
            store.database.go()
        # What comes from here on takes the processor from those who carry the stop on: as little as can be.
        return Begun(response_id, ask, at, reply, self.watch((response_id,)).__enter__())

    async def finish(self, begun: Begun) -> StopReceipt:
        """Return what a stop that was begun has found. As `stop` for one."""
        try:
            receipt = await self._record(begun.response_id, begun.ask, begun.reply)
        except asyncio.CancelledError:
            self._take_up(begun.ask, [begun.response_id])
            raise
        self._note(begun.ask, [receipt], began_at=begun.at)
        return receipt

    def take_up(self, begun: Begun) -> None:
        """Carry a stop on that was begun and is not finished: its asker has left."""
        begun.watching.__exit__(None, None, None)
        self._take_up(begun.ask, [begun.response_id])

    def _take_up(self, ask: Ask, response_ids: Iterable[ResponseId]) -> None:
        """Assert stops, some of which may be recorded and none is answered, until their endings are seen."""
        for response_id in response_ids:
            self._assert(response_id, _Asserted(ask, is_open=True))

    async def stop(
        self,
        response_ids: Sequence[ResponseId],
        asker: Asker,
        *,
        reason: str | None,
        session: str | None = None,
        ask: Ask | None = None,
    ) -> list[StopReceipt]:
        """Record stops, all at once. Raises StoreUnavailable if one could not be recorded; a repeat is safe.

        `session`: where it was asked for a whole session. `ask`: these stops are part of one that the audit knows.
        Cancelling the wait takes nothing back: the stops are asserted until they have taken effect.
        """
        if ask is None:
            ask = self._ask(response_ids, asker, reason=reason, session=session)
        began_at = time.time()
        try:
            if len(response_ids) == 1:
                # The one that most stops are of: two turns of the loop less until it is sent, and none of its own task.
                receipts = [await self._record(response_ids[0], ask)]
            else:
                receipts = await asyncio.gather(*(self._record(rid, ask) for rid in response_ids))
        except asyncio.CancelledError:
            self._take_up(ask, response_ids)
            raise
        self._note(ask, receipts, began_at=began_at)
        return list(receipts)

    def _ask(self, response_ids: Sequence[ResponseId], asker: Asker, *, reason: str | None, session: str | None) -> Ask:
        ask = self._trail.ask(asker, response_ids, reason=reason, session=session)
        if not response_ids:
            self._trail.conclude(ask, Outcome.NOTHING_LIVE)
        return ask

    def _note(self, ask: Ask, receipts: Sequence[StopReceipt], *, began_at: float) -> None:
        """Tell whoever is to know of these stops, and assert again those that were recorded."""
        for receipt in receipts:
            self._store.telemetry.stop_asked(receipt.outcome)
            trace_stop(receipt, ask.asker, began_at=began_at)
            if receipt.outcome is StopOutcome.RECORDED:
                self._assert(receipt.response_id, _Asserted(ask, is_unsafe=receipt.replicated is False))
            if receipt.settled is not None:
                self._on_settled(tag_of(receipt.response_id))
                self._saw_settled(receipt.response_id)
        self._trail.follow(ask, receipts)

    async def _record(
        self, response_id: ResponseId, ask: Ask, begun: "asyncio.Future[Any] | None" = None
    ) -> StopReceipt:
        """Run the stop script; once more if its answer was lost, for a repeat asserts the same stop."""
        if begun is not None:
            with contextlib.suppress(StoreUnavailable):
                return await self._store.stop(
                    response_id, ask.asker.owner, by=ask.asker.by, reason=ask.reason, begun=begun
                )
        for _ in range(_REPEATS - 1):
            with contextlib.suppress(StoreUnavailable):
                return await self._send(response_id, ask)
        try:
            return await self._send(response_id, ask)
        except StoreUnavailable:
            self._store.telemetry.stop_asked(None)
            raise

    async def _send(self, response_id: ResponseId, ask: Ask, *, waits: bool = True) -> StopReceipt:
        return await self._store.stop(response_id, ask.asker.owner, by=ask.asker.by, reason=ask.reason, waits=waits)

    async def leave(
        self, response_ids: Sequence[ResponseId], asker: Asker, *, reason: str | None, session: str | None = None
    ) -> None:
        """Stop responses whose client left: nobody is there to be told, so what cannot be recorded now is later."""
        ask = self._ask(response_ids, asker, reason=reason, session=session)
        try:
            await self.stop(response_ids, asker, reason=reason, ask=ask)
        except StoreUnavailable as error:
            _log.warning("stop.recorded_later", responses=response_ids, error=str(error))
            self._take_up(ask, response_ids)

    def leave_soon(self, response_ids: Sequence[ResponseId], asker: Asker, *, reason: str | None) -> None:
        """Begin to do as `leave` does."""
        self._unattended(self.leave(response_ids, asker, reason=reason))

    def leave_session_soon(self, tag: SessionTag, asker: Asker, *, reason: str | None, session: str) -> None:
        """Begin to do as `leave` does, for whatever is live in a session."""
        self._unattended(self._leave_session(tag, asker, reason, session))

    async def _leave_session(self, tag: SessionTag, asker: Asker, reason: str | None, session: str) -> None:
        for _ in range(_REPEATS):
            try:
                live = await self._store.live(tag)
            except StoreUnavailable as error:
                _log.warning("stop.finds_out_later", session=session, error=str(error))
                await asyncio.sleep(_ASSERT_EVERY_S)
            else:
                await self.leave(live, asker, reason=reason, session=session)
                return
        _log.error("stop.found_nothing", session=session)

    def take_back(self, response_id: ResponseId, asker: Asker) -> None:
        """Stop a response whose submit was never answered, if it turns out that it was accepted. Does not wait."""
        andon = msgspec.structs.replace(asker, role=Role.ANDON)
        # It concerns whoever created it, though it is Andon that takes it back.
        tenant = None if asker.principal is None else asker.principal.tenant
        ask = self._trail.ask(andon, [response_id], reason=CREATE_UNANSWERED, tenant=tenant)
        self._take_up(ask, [response_id])

    def saw_settled(self, response_ids: Iterable[ResponseId]) -> None:
        """Take note that these need no further assertion."""
        for response_id in response_ids:
            self._saw_settled(response_id)

    def _saw_settled(self, response_id: ResponseId) -> None:
        self._store.places.look_anew()
        asserted = self._asserted.get(response_id)
        if asserted is None:
            return
        if not asserted.is_unsafe:
            del self._asserted[response_id]
        elif asserted.until is None:
            asserted.until = asyncio.get_running_loop().time() + _HELD_S

    def _assert(self, response_id: ResponseId, asserted: _Asserted) -> None:
        self._asserted[response_id] = asserted
        while len(self._asserted) > _MOST_ASSERTED:
            oldest = next(iter(self._asserted))
            del self._asserted[oldest]
            _log.warning("stop.no_longer_asserted", response=oldest)

    def watch(self, response_ids: Iterable[ResponseId]) -> Watching:
        """Listen for the endings of these responses, within the block; enter it before their stop is sent."""
        return Watching(self._hub, response_ids)

    async def settled(self, receipts: list[StopReceipt], watching: Watching) -> list[StopReceipt]:
        """Wait until all these stops are settled, or the bound is over; return what is known then."""
        if len(receipts) == 1:
            return [await self._settled(receipts[0], watching.watches)]
        return list(await asyncio.gather(*(self._settled(receipt, watching.watches) for receipt in receipts)))

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
            self._saw_settled(receipt.response_id)
        return msgspec.structs.replace(progress, replicated=receipt.replicated)

    async def assert_again(self) -> None:
        """Assert recorded stops again, for ever, until each is seen settled. At the end it sends what is left."""
        try:
            while True:
                await asyncio.sleep(_ASSERT_EVERY_S)
                await self._assert_all()
        finally:
            await self._unattended.close(patience_s=_LAST_WORDS_S)

    async def _assert_all(self) -> None:
        for response_id, asserted in list(self._asserted.items()):
            self._store.telemetry.stop_asserted_again()
            try:
                await self._assert_once(response_id, asserted)
            except StoreUnavailable as error:
                _log.warning("stop.assert_failed", error=str(error), pending=len(self._asserted))
                break

    async def _assert_once(self, response_id: ResponseId, asserted: _Asserted) -> None:
        if asserted.until is not None and asyncio.get_running_loop().time() > asserted.until:
            self._asserted.pop(response_id, None)
            return
        # Nobody waits for an answer, unless it is the first: then it does not wait for a replica either, or one that is
        # frozen would hold up all others.
        began_at = time.time()
        receipt = await self._send(response_id, asserted.ask, waits=asserted.is_open)
        if asserted.is_open:
            trace_stop(receipt, asserted.ask.asker, began_at=began_at)
            self._trail.follow(asserted.ask, [receipt])
            asserted.is_open, asserted.is_unsafe = False, receipt.replicated is False
        if receipt.outcome is StopOutcome.UNKNOWN:
            self._asserted.pop(response_id, None)
        elif receipt.outcome is StopOutcome.RECORDED and receipt.settled is None:
            asserted.until = None  # it runs; if it had ended, a failover has lost that
        else:
            self._saw_settled(response_id)


def _unattended_crashed(_: asyncio.Task[None], error: BaseException) -> None:
    _log.error("stop.unattended_crashed", exc_info=error)
