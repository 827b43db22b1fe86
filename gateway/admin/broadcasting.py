"""Broadcasting: one broadcast stop, carried out.

Owns the walk over what is in scope, the stopping of it, and the account. Does not own the stops themselves
(`gateway.stops`), the record (`andon.broadcasts`), nor who runs it (`gateway.admin.runner`).

What is caught: every response that was accepted before the broadcast was asked for (`submitted_at` <= `asked_at`, both
by Redis), and no later one. A submit writes the index of sessions first and then runs its script, which sets
`submitted_at`, the live set and the job in one step. The walk begins after the record was made. With one Redis, a job
whose script ran before the record's is therefore wholly visible to the first walk; the index holds its session as long
as it is live. With several nodes their clocks differ: a job may be dated before the record and become visible after
the first walk. So the walk is repeated, at least once and half a second later, until one finds nothing new; that
covers clocks that differ by no more. A job that is requeued, promoted or claimed meanwhile keeps its id, and a mark
stops it in any state.

Those that wait for their lane are stopped before those that hold one: else each stop would give the next one its turn,
and a model would be asked for nothing.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from andon.audit import AuditId, Outcome
from andon.broadcasts import Advance, Broadcast, Broadcasts, Scope, State, Tended
from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.replies import StopOutcome, StopReceipt
from andon.store import Store
from andon.trail import Ask, Trail
from gateway.admin.broadcast_trace import carrying_out, tell_advance
from gateway.admin.rows import LiveState, Row, Rows
from gateway.admin.scope import is_in, place_of
from gateway.stops import Stops

_log = structlog.get_logger(__name__)

# Stops that are in flight at once.
_AT_ONCE: Final = 200
_LOOK_FIRST_S: Final = 0.05
_LOOK_MOST_S: Final = 0.5
_WALK_AGAIN_S: Final = 0.5
_AWAY_S: Final = 0.2


class Means(msgspec.Struct, frozen=True):
    """What a broadcast is carried out with. `runner_id`: in whose name."""

    broadcasts: Broadcasts
    rows: Rows
    store: Store
    stops: Stops
    trail: Trail
    runner_id: str

    @property
    def within_s(self) -> float:
        """Return for how long a broadcast waits: a dead worker's jobs are settled a lease and a sweep after it."""
        return 60.0 + 3 * self.store.settings.lease_s


async def matching(rows: Rows, scope: Scope, within: str | None, *, before: float | None = None) -> list[Row]:
    """Find what is live, in scope, and was there `before` (a time by Redis). Raises StoreUnavailable."""
    found = {row.id: row for row in await rows.bare(*place_of(scope))}
    return [row for row in found.values() if is_in(scope, within, row) and (before is None or row.created_at <= before)]


class _Lost(Exception):  # noqa: N818  the condition is the name
    """The broadcast is another's by now, or over."""


class Broadcasting:
    """One broadcast as this gateway runs it."""

    def __init__(self, means: Means, broadcast: Broadcast) -> None:
        self._means = means
        self._broadcast = broadcast
        asker = broadcast.asker
        self._ask = Ask(AuditId(broadcast.id), asker, broadcast.reason, broadcast.within or "")
        # What is in scope, and how far its stop got as far as is known; None: not recorded yet.
        self._known: dict[ResponseId, StopReceipt | None] = {}
        # Over: settled, ended by itself, or gone.
        self._over: set[ResponseId] = set()
        self._failed = 0

    async def run(self) -> None:
        """Run it to its end, or until it is another's."""
        with carrying_out(self._broadcast) as span:
            await self._run()
            tell_advance(span, self._advance())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            await self._repeat_inherit()
            while True:
                try:
                    if await self._round(began_at):
                        return
                except StoreUnavailable as error:
                    _log.info("broadcast.store_away", broadcast=self._broadcast.id, error=str(error))
                    await asyncio.sleep(_AWAY_S)
        except _Lost:
            _log.info("broadcast.lost", broadcast=self._broadcast.id)

    async def _repeat_inherit(self) -> None:
        while True:
            try:
                await self._inherit()
            except StoreUnavailable as error:
                _log.info("broadcast.store_away", broadcast=self._broadcast.id, error=str(error))
                await asyncio.sleep(_AWAY_S)
            else:
                return

    async def _inherit(self) -> None:
        """Take over what a runner before us was about to stop, or had stopped."""
        await self._tend()
        targets = await self._means.broadcasts.targets(self._broadcast.id)
        self._known.update(dict.fromkeys(targets))
        await self._look(targets)
        # Its outcomes may not have been written: ours come with the same id.
        recorded = [receipt for receipt in self._known.values() if receipt is not None]
        self._means.trail.follow(self._ask, recorded)

    async def _round(self, began_at: float) -> bool:
        """Walk, stop, and watch until all is settled; tell whether the broadcast is over."""
        loop = asyncio.get_running_loop()
        walked_at = loop.time()
        fresh = [row for row in await self._matching() if row.id not in self._known]
        self._known.update((row.id, None) for row in fresh)
        waiting = {row.id for row in fresh if row.state is LiveState.WAITING}
        unrecorded = [rid for rid, receipt in self._known.items() if receipt is None and rid not in self._over]
        await self._stop(sorted(unrecorded, key=lambda rid: rid not in waiting))
        pause_s = _LOOK_FIRST_S
        while True:
            await self._look([rid for rid in self._known if rid not in self._over])
            await self._tend(advance=self._advance())
            is_late = loop.time() - began_at > self._means.within_s
            is_settled = len(self._over) == len(self._known)
            is_looked_through = not fresh and walked_at - began_at >= _WALK_AGAIN_S
            if is_late or (is_settled and is_looked_through):
                await self._end(State.DONE if is_settled else State.UNSETTLED)
                return True
            if loop.time() - walked_at >= _WALK_AGAIN_S:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LOOK_MOST_S)

    async def _matching(self) -> list[Row]:
        of = self._broadcast
        return await matching(self._means.rows, of.scope, of.within, before=of.asked_at)

    async def _stop(self, ids: list[ResponseId]) -> None:
        self._failed = 0
        for first in range(0, len(ids), _AT_ONCE):
            batch = ids[first : first + _AT_ONCE]
            await self._tend(targets=batch)
            try:
                receipts = await self._means.stops.stop(
                    batch, self._broadcast.asker, reason=self._broadcast.reason, ask=self._ask
                )
            except StoreUnavailable as error:
                self._failed += len(batch)
                _log.warning("broadcast.not_recorded", broadcast=self._broadcast.id, error=str(error))
                continue
            for receipt in receipts:
                if receipt.outcome is StopOutcome.RECORDED:
                    self._known[receipt.response_id] = receipt
                else:
                    self._over.add(receipt.response_id)
            await self._tend(advance=self._advance())

    async def _look(self, ids: list[ResponseId]) -> None:
        """Read how far these have got."""
        for first in range(0, len(ids), _AT_ONCE):
            batch = ids[first : first + _AT_ONCE]
            for response_id, fate in zip(batch, await self._means.store.fates(batch), strict=True):
                if fate is not None and fate.receipt.recorded is not None:
                    self._known[response_id] = fate.receipt
                if fate is None or fate.receipt.settled is not None:
                    self._over.add(response_id)
        self._means.stops.saw_settled(self._over)

    def _advance(self) -> Advance:
        told = [receipt for receipt in self._known.values() if receipt is not None]
        return Advance(
            matched=len(self._known),
            recorded=len(told),
            acked=sum(receipt.acked is not None for receipt in told),
            upstream_closed=sum(receipt.upstream_closed is not None for receipt in told),
            settled=sum(self._known[rid] is not None for rid in self._over),
            already_ended=sum(self._known[rid] is None for rid in self._over),
            failed=self._failed,
            upstream_closed_s=self._since_asked(receipt.upstream_closed for receipt in told),
            settled_s=self._since_asked(receipt.settled for receipt in told),
        )

    def _since_asked(self, times: Iterable[float | None]) -> float | None:
        last = max((time for time in times if time is not None), default=None)
        return None if last is None else round(last - self._broadcast.asked_at, 3)

    async def _tend(
        self, *, advance: Advance | None = None, final: State | None = None, targets: list[ResponseId] | None = None
    ) -> None:
        """Keep the lease, and write; raises _Lost if it is another's."""
        tended = await self._means.broadcasts.tend(
            self._broadcast.id, self._means.runner_id, advance=advance, final=final, targets=targets or ()
        )
        if tended is not Tended.OURS:
            raise _Lost

    async def _end(self, state: State) -> None:
        advance = self._advance()
        # Before the record says so: what is told as over is in the audit.
        scope, progress = msgspec.to_builtins(self._broadcast.scope), msgspec.to_builtins(advance)
        outcome = Outcome.DONE if state is State.DONE else Outcome.UNSETTLED
        self._means.trail.conclude(self._ask, outcome, scope=scope, progress=progress)
        await self._tend(advance=advance, final=state)
        _log.info("broadcast.ended", broadcast=self._broadcast.id, state=state, **progress)
