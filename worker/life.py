"""Life: one worker id, from its first renewal to its end.

Owns the nest of what lives and dies with a worker id: the stop channel, the lease, the switch, the claims and the
runs. Guarantees: nothing is claimed before the stop channel is confirmed and the lease was renewed since then, at the
start and after each loss of the channel; when the switch fires or a tombstone is found, every upstream is closed and
the id is never used again; a drain ends every run in time.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from andon import keys
from andon.database import Database
from andon.errors import ContractError, StoreUnavailable
from andon.hint import parse_hint
from andon.ids import SessionTag, WorkerId, new_worker_id
from andon.lease import Leases
from andon.lifetime import background, task_group
from andon.logs import about
from andon.progress import Progress
from andon.queue import Queue
from andon.replies import Claimed
from andon.rescue import Rescuer
from andon.settings import Settings
from andon.store import Store
from andon.telemetry import SILENT, DrainStep, StopPath, Telemetry
from andon.trail import Trail
from worker.aftermath import Aftermath
from worker.beat import RENEWALS_A_LEASE, Beat
from worker.claimer import Claimer
from worker.lookout import Lookout
from worker.orphans import Orphans
from worker.presence import Presence
from worker.roster import Roster
from worker.scribe import Scribe
from worker.shutdown import Shutdown
from worker.switch import Switch
from worker.upstream.source import Source
from worker.verdict import Loss

_log = structlog.get_logger(__name__)

# After the drain's deadline the scribes write their endings; a Redis that is away must not hold the process for ever.
_LAST_WORDS_S: Final = 5.0


class Life:
    """One life of a worker."""

    def __init__(
        self,
        *,
        database: Database,
        reader: Database,
        source: Source,
        settings: Settings,
        shutdown: Shutdown,
        rescuer: Rescuer,
        on_settled: Callable[[SessionTag], None],
        trail: Trail,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.worker_id: WorkerId = new_worker_id()
        self._database = database
        self._source = source
        self._settings = settings
        self._shutdown = shutdown
        self._rescuer = rescuer
        self._on_settled = on_settled
        self._trail = trail
        self._telemetry = telemetry
        self._store = Store(database, settings, telemetry=telemetry)
        self._leases = Leases(database, lease_s=settings.lease_s)
        self._queue = Queue(database, reader, self.worker_id)
        # Set when this id is dead: the switch fired, or a renewal was refused.
        self._lost = asyncio.Event()
        self._after = Aftermath()

    async def run(self) -> None:
        """Live until the id is lost or the shutdown is over. Raises StoreUnavailable if it could not begin."""
        async with task_group() as group:
            roster = Roster(self._store, rescuer=self._rescuer, on_settled=self._on_settled, spawn=group.create_task)
            switch = Switch(self._settings.lease_s, on_fire=self._lost.set)
            control = self._database.subscriber(
                sharded=False,
                timeout_s=self._settings.command_timeout_s,
                ping_every_s=self._settings.lease_s / RENEWALS_A_LEASE,
                on_message=lambda _, message: self._hear(roster, message),
                on_confirmed=lambda _: self._hear_again(roster, beat),
            )
            beat = Beat(
                self.worker_id,
                leases=self._leases,
                progress=Progress(self._database),
                lease_s=self._settings.lease_s,
                roster=roster,
                switch=switch,
                concurrency=self._settings.worker_concurrency,
                is_draining=lambda: self._shutdown.requested,
                left_behind=lambda: self._source.left_behind,
                telemetry=self._telemetry,
            )
            lookout = Lookout(control.glance)
            claimer = Claimer(
                self.worker_id,
                queue=self._queue,
                store=self._store,
                roster=roster,
                concurrency=self._settings.worker_concurrency,
                hears=lambda: (
                    # A claim leaves as its entry comes, before the drain has told the claimer.
                    not (control.deaf or self._lost.is_set() or self._shutdown.requested) and beat.stands
                ),
                start=lambda claimed: self._start(roster, claimed, lookout),
                spawn=group.create_task,
            )
            async with control.open():
                await control.subscribe(keys.stop_channel(self.worker_id))
                if not await beat.renew():
                    return
                _log.info("worker.ready", worker=self.worker_id, concurrency=self._settings.worker_concurrency)
                with switch.armed():
                    async with background(
                        claimer.adopt(every_s=self._settings.lease_s),
                        Presence(self._store, roster, self._trail).run(),
                        self._orphans(roster).run(),
                    ):
                        await self._live(beat, claimer, roster)

    def _start(self, roster: Roster, claimed: Claimed, lookout: Lookout) -> None:
        """Start a run, unless this id was lost while its claim was under way: then nothing would stop the stream."""
        if self._lost.is_set():
            _log.warning("claim.too_late", **about(claimed.response_id, claimed.whose), worker=self.worker_id)
            return  # it is in the job set of a dead worker: a rescuer queues it again
        roster.start(self._scribe(claimed, lookout))

    def _scribe(self, claimed: Claimed, lookout: Lookout) -> Scribe:
        renew_every_s = min(self._settings.lease_s, self._settings.live_ttl_s / 4)
        return Scribe(
            claimed,
            store=self._store,
            source=self._source,
            settings=self._settings,
            renew_every_s=renew_every_s,
            after=self._after,
            lookout=lookout,
        )

    def _orphans(self, roster: Roster) -> Orphans:
        return Orphans(
            self.worker_id,
            leases=self._leases,
            roster=roster,
            rescuer=self._rescuer,
            store=self._store,
            every_s=self._settings.lease_s,
        )

    def _hear(self, roster: Roster, message: bytes) -> None:
        try:
            hint = parse_hint(message)
        except ContractError as error:
            _log.warning("control.foreign_message", error=str(error))
            return
        roster.hint(hint)

    @staticmethod
    def _hear_again(roster: Roster, beat: Beat) -> None:
        """Make good what the channel's silence may have cost: stops, and the lease, where Redis came back empty."""
        roster.look_at(list(roster), StopPath.SUBSCRIBE)
        beat.renew_soon()

    async def _live(self, beat: Beat, claimer: Claimer, roster: Roster) -> None:
        """Claim and run until lost or told to end; then end every run."""
        beating = asyncio.ensure_future(beat.run())
        claiming = asyncio.ensure_future(claimer.run())
        lost = asyncio.ensure_future(self._until_lost())
        told = asyncio.ensure_future(self._shutdown.wait())
        try:
            await asyncio.wait({beating, claiming, lost, told}, return_when=asyncio.FIRST_COMPLETED)
            claimer.stop()
            if told.done() and not (lost.done() or beating.done()):
                # Redis may be away: the switch is heard here, too.
                await asyncio.wait({claiming, beating, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not (lost.done() or beating.done()):
                    claiming.result()
                    await self._drain(roster, {beating, lost})
        finally:
            if lost.done() or beating.done() or not told.done():
                _log.error("worker.lost", worker=self.worker_id, live=len(roster))
                self._lost.set()
                roster.abandon_all(Loss.LEASE)
            for task in (beating, claiming, lost, told):
                task.cancel()
            ends = await asyncio.gather(beating, claiming, lost, told, return_exceptions=True)
        await roster.empty()
        for end in ends:
            if isinstance(end, Exception):
                raise end  # our bug: end the process, a supervisor starts it anew and others rescue its jobs
        await self._say_goodbye()

    async def _until_lost(self) -> None:
        await self._lost.wait()

    async def _drain(self, roster: Roster, losses: set[asyncio.Task[None]]) -> None:
        """Let runs finish to the deadline, then requeue or end the rest."""
        empty = asyncio.ensure_future(roster.empty())
        hurried = asyncio.ensure_future(self._shutdown.wait_hurried())
        _log.info("drain.begun", live=len(roster), drain_s=self._settings.drain_s)
        self._telemetry.drain(DrainStep.BEGUN)
        try:
            await asyncio.wait(
                {empty, hurried, *losses}, timeout=self._settings.drain_s, return_when=asyncio.FIRST_COMPLETED
            )
            self._telemetry.drain(DrainStep.CUT if len(roster) else DrainStep.CLEAN)
            if len(roster):
                _log.info("drain.ends_runs", live=len(roster))
                roster.drain_all()
                await asyncio.wait({empty, *losses}, timeout=_LAST_WORDS_S, return_when=asyncio.FIRST_COMPLETED)
                roster.abandon_all(Loss.LEASE)
        finally:
            empty.cancel()
            hurried.cancel()
            await asyncio.gather(empty, hurried, return_exceptions=True)

    async def _say_goodbye(self) -> None:
        """Bury this id and leave the queue: the next rescuer need not wait for the lease to run out."""
        try:
            await self._leases.bury(self.worker_id, by_itself=True)
            await self._queue.leave()
        except StoreUnavailable as error:
            _log.info("goodbye.unsaid", error=str(error))  # the lease runs out by itself
