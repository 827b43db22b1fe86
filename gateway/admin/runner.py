"""Runner: the broadcast stops of this gateway, its own and those that a dead gateway left.

Owns which broadcasts run here, and the adoption. Does not own how one is carried out (`gateway.admin.broadcasting`).

The runner holds a lease on the record, renewed with every step. What is about to be stopped is written to the record
first, so whoever adopts it goes on from there, and its account is of all of them. Running one twice does no harm: stops
are idempotent.
"""

import asyncio

import structlog

from andon.broadcasts import Broadcast, BroadcastId, Tended
from andon.errors import StoreUnavailable
from andon.lifetime import Spawned
from gateway.admin.broadcasting import Broadcasting, Means

_log = structlog.get_logger(__name__)


class Runner:
    """The broadcasts that this gateway runs."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._adopt_every_s = means.store.settings.lease_s / 2
        self._running: set[BroadcastId] = set()
        self._spawn = Spawned(_crashed)

    def start(self, broadcast: Broadcast) -> None:
        """Run a broadcast, unless it runs here already. Does not wait."""
        if broadcast.id not in self._running:
            self._running.add(broadcast.id)
            self._spawn(self._run(broadcast))

    async def adopt(self) -> None:
        """Look for ever for broadcasts whose runner has died, and run them. At its end, ours are left to others."""
        try:
            while True:
                await asyncio.sleep(self._adopt_every_s)
                try:
                    await self._adopt()
                except StoreUnavailable as error:
                    _log.info("broadcast.store_away", error=str(error))
        finally:
            await self._spawn.close()

    async def _adopt(self) -> None:
        records = self._means.broadcasts
        for broadcast_id in await records.running():
            if broadcast_id in self._running:
                continue
            broadcast = await records.read(broadcast_id)
            if await records.tend(broadcast_id, self._means.runner_id) is Tended.OURS and broadcast is not None:
                _log.warning("broadcast.adopted", broadcast=broadcast_id, dead=broadcast.runner)
                self.start(broadcast)

    async def _run(self, broadcast: Broadcast) -> None:
        try:
            await Broadcasting(self._means, broadcast).run()
        finally:
            self._running.discard(broadcast.id)


def _crashed(_: "asyncio.Task[None]", error: BaseException) -> None:
    _log.error("broadcast.crashed", exc_info=error)
