"""Beat: renews the lease and looks at silent jobs.

Owns the rhythm: four renewals a lease, and one at once when it was asked for. A beat is one lease script on the
worker's slot plus one pipelined read of the marks of those jobs that were silent since the last one; a job that appends
hears of its mark by the append's reply, so the cost of a beat does not grow with the number of busy jobs. After that
comes one command that tells consoles what the runs have produced.

Guarantees: however often a renewal is asked for, one is under way at a time; while `stands`, one that was sent after
the last such ask has succeeded.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Final

import structlog

from andon.errors import StoreUnavailable
from andon.ids import ResponseId, WorkerId
from andon.lease import About, Leases
from andon.progress import Progress
from andon.telemetry import SILENT, Renewal, Telemetry
from worker.roster import Roster
from worker.switch import Switch

_log = structlog.get_logger(__name__)

RENEWALS_A_LEASE: Final = 4
# A renewal that was asked for and failed is tried again so soon: until it succeeds nothing is claimed.
_AGAIN_S: Final = 0.25


class Beat:
    """The beat of one life of a worker."""

    def __init__(
        self,
        worker_id: WorkerId,
        *,
        leases: Leases,
        progress: Progress,
        lease_s: float,
        roster: Roster,
        switch: Switch,
        concurrency: int,
        is_draining: Callable[[], bool],
        left_behind: Callable[[], int],
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._worker_id = worker_id
        self._leases = leases
        self._progress = progress
        # Tokens of each run at the beat before, and the loop time of that beat.
        self._told: dict[ResponseId, int] = {}
        self._told_at = 0.0
        self._lease_s = lease_s
        self._every_s = lease_s / RENEWALS_A_LEASE
        self._roster = roster
        self._switch = switch
        self._concurrency = concurrency
        self._is_draining = is_draining
        self._left_behind = left_behind
        self._telemetry = telemetry
        # Set when a renewal is asked for, until one is sent.
        self._asked = asyncio.Event()
        # Whether the lease was renewed since that was last asked for.
        self.stands = False

    def renew_soon(self) -> None:
        """Ask for a renewal at once: the Redis that is there now may have lost the lease. Does not wait."""
        self.stands = False
        self._asked.set()

    async def renew(self) -> bool:
        """Renew once; False if this id is dead for good. Raises StoreUnavailable."""
        self._asked.clear()
        sent_at = time.monotonic()
        try:
            alive = await self._leases.renew(self._worker_id, self._about())
        except StoreUnavailable:
            self._telemetry.lease(Renewal.MISSED)
            raise
        self._telemetry.lease(Renewal.RENEWED if alive else Renewal.REFUSED)
        if alive:
            self._switch.renewed(sent_at)
            # Asked for meanwhile: this one may have reached the Redis that was there before.
            self.stands = not self._asked.is_set()
        return alive

    async def run(self) -> None:
        """Beat until this id is found to be dead. Redis away is not dead: the switch judges that."""
        while True:
            await self._until_due()
            try:
                if not await self.renew():
                    return
            except StoreUnavailable as error:
                _log.warning("beat.missed", error=str(error))
            now = asyncio.get_running_loop().time()
            silent = [scribe for scribe in self._roster if now - scribe.heard_at > self._every_s]
            self._roster.look_at(silent)
            self._tell_progress(now)

    async def _until_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._every_s if self.stands else min(_AGAIN_S, self._every_s)):
                await self._asked.wait()

    def _tell_progress(self, now: float) -> None:
        """Say what the runs have produced; nothing where nothing runs. A hint: no beat waits for it."""
        tokens = {scribe.response_id: scribe.tokens_so_far for scribe in self._roster}
        since_s = max(now - self._told_at, 0.001)
        runs = {
            response_id: (count, round((count - self._told.get(response_id, 0)) / since_s, 1))
            for response_id, count in tokens.items()
        }
        self._told, self._told_at = tokens, now
        if runs:
            told = asyncio.ensure_future(self._progress.write(self._worker_id, runs, lease_s=self._lease_s))
            told.add_done_callback(_note_untold)

    def _about(self) -> About:
        return About(
            host=socket.gethostname(),
            pid=os.getpid(),
            live=len(self._roster),
            concurrency=self._concurrency,
            draining=self._is_draining(),
            tasks=len(asyncio.all_tasks()),
            left_behind=self._left_behind(),
        )


def _note_untold(told: "asyncio.Future[None]") -> None:
    if not told.cancelled() and (error := told.exception()) is not None:
        _log.info("beat.progress_not_told", error=str(error))
