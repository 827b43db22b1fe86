"""Stops: this gateway's part in a stop.

Owns the call of the stop script and the bounded wait of whoever asked. Does not own the listening for endings
(`gateway.watching`). Guarantees: a stop that was answered as recorded is asserted again, by this gateway, until the job
has ended (`gateway.assertions`); a stop whose asker left before it was answered is carried out all the same.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog

from andon.audit import Asker, Outcome, Role
from andon.errors import StoreUnavailable
from andon.ids import ResponseId, SessionTag, tag_of
from andon.lifetime import Spawned
from andon.replies import StopOutcome, StopReceipt
from andon.stop_trace import trace_stop
from andon.store import Store
from andon.trail import Ask, Trail
from gateway.assertions import ASSERT_EVERY_S, Assertions, send
from gateway.hub import Hub
from gateway.watching import SettledWatch, Watching

_log = structlog.get_logger(__name__)

_REPEATS: Final = 3
# For stops whose asker has left, at the end of the process.
_LAST_WORDS_S: Final = 1.0
# Why a create is taken back that nobody can ask for again.
CREATE_UNANSWERED: Final = "create_unanswered"


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
        self._assertions = Assertions(store, trail)
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
            self._assertions.take_up(begun.ask, [begun.response_id])
            raise
        self._note(begun.ask, [receipt], began_at=begun.at)
        return receipt

    def take_up(self, begun: Begun) -> None:
        """Carry a stop on that was begun and is not finished: its asker has left."""
        begun.watching.__exit__(None, None, None)
        self._assertions.take_up(begun.ask, [begun.response_id])

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
            self._assertions.take_up(ask, response_ids)
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
                self._assertions.keep(ask, receipt)
            if receipt.settled is not None:
                self._on_settled(tag_of(receipt.response_id))
                self._assertions.saw_settled(receipt.response_id)
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
                return await send(self._store, response_id, ask)
        try:
            return await send(self._store, response_id, ask)
        except StoreUnavailable:
            self._store.telemetry.stop_asked(None)
            raise

    async def leave(
        self, response_ids: Sequence[ResponseId], asker: Asker, *, reason: str | None, session: str | None = None
    ) -> None:
        """Stop responses whose client left: nobody is there to be told, so what cannot be recorded now is later."""
        ask = self._ask(response_ids, asker, reason=reason, session=session)
        try:
            await self.stop(response_ids, asker, reason=reason, ask=ask)
        except StoreUnavailable as error:
            _log.warning("stop.recorded_later", responses=response_ids, error=str(error))
            self._assertions.take_up(ask, response_ids)

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
                await asyncio.sleep(ASSERT_EVERY_S)
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
        self._assertions.take_up(ask, [response_id])

    def saw_settled(self, response_ids: Iterable[ResponseId]) -> None:
        """Take note that these need no further assertion."""
        for response_id in response_ids:
            self._assertions.saw_settled(response_id)

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
            self._assertions.saw_settled(receipt.response_id)
        return msgspec.structs.replace(progress, replicated=receipt.replicated)

    async def assert_again(self) -> None:
        """Assert recorded stops again, for ever. At the end it waits a moment for those whose asker has left."""
        try:
            await self._assertions.run()
        finally:
            await self._unattended.close(patience_s=_LAST_WORDS_S)


def _unattended_crashed(_: asyncio.Task[None], error: BaseException) -> None:
    _log.error("stop.unattended_crashed", exc_info=error)
