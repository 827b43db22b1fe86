"""Orphans: jobs that Redis says this worker runs, and that it does not.

Owns the comparison of the worker's job set with its roster. A failover may lose an ending or the dropping of a claim
that the old master had answered: then the job runs for ever in the name of a worker that lives, and nobody else would
end it. Guarantees: what is found so twice, a lease apart, is rescued: longer than any claim may be under way.
"""

import asyncio

import structlog

from andon.errors import StoreUnavailable
from andon.ids import ResponseId, WorkerId
from andon.lease import Leases
from andon.rescue import Rescuer
from andon.store import Store
from worker.roster import Roster

_log = structlog.get_logger(__name__)


class Orphans:
    """The orphans of one life of a worker."""

    def __init__(
        self, worker_id: WorkerId, *, leases: Leases, roster: Roster, rescuer: Rescuer, store: Store, every_s: float
    ) -> None:
        self._worker_id = worker_id
        self._leases = leases
        self._roster = roster
        self._rescuer = rescuer
        self._store = store
        self._every_s = every_s
        # What the last look found.
        self._suspects: set[ResponseId] = set()

    async def run(self) -> None:
        """Look for ever. Cancelling it is safe: a rescue may be repeated by anybody."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._look()
            except StoreUnavailable as error:
                _log.info("orphans.unknown", error=str(error))

    async def _look(self) -> None:
        found = {rid for rid in await self._leases.jobs(self._worker_id) if rid not in self._roster}
        confirmed, self._suspects = found & self._suspects, found
        for response_id in confirmed:
            if response_id in self._roster:
                continue
            if await self._rescuer.rescue_job(response_id, self._worker_id):
                _log.warning("orphans.rescued", response=response_id)
            await self._store.forget(self._worker_id, response_id)
