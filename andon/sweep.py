"""Sweep: compares the hints with the job hashes, and mends what a crash left between two writes.

Owns the finding of dead workers, lost queue entries, lanes whose turn was never given, jobs that waited too long, and
outboxes that were never shipped. Every worker and gateway runs it; a turn key in Redis lets one at a time do the work.

Queue, job sets and the index of sessions are written before the session's script and cleared after it, so each is a
superset of the truth: the sweep walks the supersets, and the job hash decides. Guarantees: every accepted response is
found, wherever its processes died; nothing is dropped from an index within the grace in which its script may follow.
"""

import asyncio
import random
import time
from typing import Final

import structlog

from andon import keys
from andon.audit import Asker, Door, Role
from andon.database import Database
from andon.errors import ContractError, StoreUnavailable
from andon.ids import ResponseId, SessionTag, WorkerId
from andon.lease import Leases
from andon.logs import about
from andon.queue import bequeath
from andon.replies import JobView
from andon.rescue import Rescuer
from andon.script import script
from andon.settings import Settings
from andon.settlements import Shipper
from andon.stop_trace import trace_stop
from andon.store import ABANDONED, Store, presence_ttl_s
from andon.trail import Trail

_log = structlog.get_logger(__name__)

# Dead workers are looked for this often within a lease: a job is ended at most that much after its lease is over.
_LOOKS_A_LEASE: Final = 10
# A session is swept that many looks apart: what it mends are crashes between two writes, not the death of workers.
_LOOKS_A_SWEEP: Final = 10
_GRACE_S: Final = 60.0
_LOST_AFTER_S: Final = 2.0
_PAGE: Final = 500
BY_SWEEP: Final = Asker(None, Role.ANDON, Door.SWEEP)


class Sweep:
    """The sweep of one process. `run` it beside everything else."""

    def __init__(self, database: Database, settings: Settings, *, store: Store, shipper: Shipper, trail: Trail) -> None:
        self._database = database
        self._settings = settings
        self._store = store
        self._shipper = shipper
        self._trail = trail
        self._leases = Leases(database, lease_s=settings.lease_s)
        self.rescuer = Rescuer(store, self._leases)

    async def run(self) -> None:
        """Sweep for ever, in turns with the other processes. Cancelling it is safe at any point."""
        every_s = self._settings.lease_s / _LOOKS_A_LEASE
        looks = random.randrange(_LOOKS_A_SWEEP)  # noqa: S311  spreads processes, hides nothing
        while True:
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311  the same
            looks += 1
            try:
                if await self._has_turn("workers", every_s):
                    await self.bury_the_dead()
                if looks % _LOOKS_A_SWEEP == 0 and await self._has_turn("sessions", every_s * _LOOKS_A_SWEEP / 2):
                    await self.sweep_sessions()
            except StoreUnavailable as error:
                _log.info("sweep.store_away", error=str(error))
            except ContractError as error:
                _log.error("sweep.contract", error=str(error))

    async def _has_turn(self, what: str, for_s: float) -> bool:
        try:
            reply = await self._database.call("SET", f"{keys.TURN}:{what}", "1", "NX", "PX", max(1, int(for_s * 900)))
        except StoreUnavailable as error:
            # A full Redis has no room for turns; then all may sweep: the dead must be found, their jobs take up room.
            if error.code == "store_full":
                return True
            raise
        return bool(reply)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def bury_the_dead(self) -> None:
        """Give a tombstone to each worker whose lease is over, and rescue its jobs."""
        for worker_id in await self._leases.workers():
            if await self._leases.bury(worker_id):
                await bequeath(self._database, worker_id)
                rescued = await self.rescuer.rescue_worker(worker_id)
                _log.log(30 if rescued else 20, "sweep.buried", worker=worker_id, rescued=rescued)

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def sweep_sessions(self) -> None:
        """Walk the index of sessions; mend each."""
        queued = await self._queued()
        dead: dict[WorkerId, bool] = {}
        cursor = b"0"
        while True:
            cursor, rows = await self._database.call("ZSCAN", keys.SESSIONS, cursor, "COUNT", _PAGE)
            for member, score in zip(rows[::2], rows[1::2], strict=True):
                await self._sweep_session(SessionTag(member.decode()), score, queued, dead)
            if cursor == b"0":
                return

    async def _queued(self) -> set[ResponseId]:
        """Read which responses have an entry in the queue, pending ones included."""
        found: set[ResponseId] = set()
        start = "-"
        while rows := await self._database.call("XRANGE", keys.QUEUE, start, "+", "COUNT", _PAGE):
            found.update(ResponseId(fields[1].decode()) for _, fields in rows)
            start = f"({rows[-1][0].decode()}"
        return found

    async def _sweep_session(
        self, tag: SessionTag, score: bytes, queued: set[ResponseId], dead: dict[WorkerId, bool]
    ) -> None:
        live = await self._store.live(tag)
        shipped = await self._shipper.ship(tag)
        if not live and not shipped and time.time() - float(score) > _GRACE_S:
            await self._database.eval(script("unindex"), [keys.SESSIONS], [tag, score])
        for response_id in live:
            job = await self._store.job(response_id)
            if job is None:
                # Redis lost the job, or it expired: nothing recreates it.
                await self._database.call("SREM", keys.live(tag), response_id)
            else:
                await self._mend(tag, job, queued, dead)

    async def _mend(self, tag: SessionTag, job: JobView, queued: set[ResponseId], dead: dict[WorkerId, bool]) -> None:
        if await self._is_abandoned(job):
            _log.info("sweep.abandoned", **about(job.response_id, job.whose))
            began_at = time.time()
            ask = self._trail.ask(BY_SWEEP, [job.response_id], reason=ABANDONED, tenant=job.tenant)
            receipt = await self._store.stop(job.response_id, None, by=BY_SWEEP.by, reason=ABANDONED)
            trace_stop(receipt, BY_SWEEP, began_at=began_at)
            self._trail.follow(ask, [receipt])
            return
        if job.state in {"queued", "waiting"} and job.deadline_at is not None and time.time() > job.deadline_at:
            await self._store.expire(job.response_id)
            return
        match job.state:
            case "running":
                if job.owner not in dead:
                    dead[job.owner] = await self._leases.bury(job.owner)
                if dead[job.owner]:
                    await self.rescuer.rescue_job(job.response_id, job.owner)
            case "queued":
                await self._mend_queued(job, queued)
            case "waiting":
                await self._store.renew(job.response_id)
                held = await self._database.call("HGET", keys.lanes(tag), job.lane)
                if held is None or held.split()[0] == job.response_id.encode():
                    _log.warning("sweep.turn_given", **about(job.response_id, job.whose))
                    await self._store.promote(job.response_id)
            case _:
                pass

    async def _is_abandoned(self, job: JobView) -> bool:
        """Tell whether nobody has been attached to an unclaimed job for its abandon time."""
        if not job.abandon_s or job.state not in {"queued", "waiting"}:
            return False
        (is_present,) = await self._store.are_present([job.response_id])
        if is_present:
            await self._store.seen_again(job.response_id)
            return False
        return await self._store.missing_for_s(job) >= presence_ttl_s(job.abandon_s)

    async def _mend_queued(self, job: JobView, queued: set[ResponseId]) -> None:
        waited_s = time.time() - (job.queued_at or 0)
        if waited_s > self._settings.queue_ttl_s or job.stop is not None:
            await self._store.expire(job.response_id)
        elif job.response_id not in queued and waited_s > _LOST_AFTER_S:
            _log.warning("sweep.queued_again", **about(job.response_id, job.whose))
            await self._store.enqueue(job.response_id)
