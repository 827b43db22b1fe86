"""Presence: stops runs that nobody watches any more.

Owns the judgement of abandonment for claimed jobs. A gateway renews the presence of a response while somebody is
attached; it lasts for half of the abandon time. The worker that misses it counts the other half on its own clock, from
when it first saw it missing: so it holds also when the gateway was killed, and after an outage of Redis the clock
starts anew.
"""

import asyncio
import time
from typing import Final

import structlog

from andon.audit import Asker, Door, Role
from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.logs import about
from andon.stop_trace import trace_stop
from andon.store import ABANDONED, Store, presence_ttl_s
from andon.trail import Trail
from worker.roster import Roster
from worker.scribe import Scribe

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0
BY_WORKER: Final = Asker(None, Role.ANDON, Door.WORKER)


class Presence:
    """Watches the presences of one life's runs."""

    def __init__(self, store: Store, roster: Roster, trail: Trail) -> None:
        self._store = store
        self._roster = roster
        self._trail = trail
        # Loop time at which each response's presence was first missing.
        self._missing_since: dict[ResponseId, float] = {}

    async def run(self) -> None:
        """Look for ever. A busy job is looked at no more often than a silent one."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            scribes = [scribe for scribe in self._roster if self._is_due(scribe)]
            if not scribes:
                continue
            try:
                await self._judge(scribes)
            except StoreUnavailable as error:
                self._missing_since.clear()  # the clock starts anew
                _log.info("presence.unknown", error=str(error))

    @staticmethod
    def _is_due(scribe: Scribe) -> bool:
        """Tell whether it is time: eight times within the abandon time, and not before it could have run out."""
        now = asyncio.get_running_loop().time()
        if not scribe.job.abandon_s or now - scribe.looked_for_presence_at < scribe.job.abandon_s / 8:
            return False
        scribe.looked_for_presence_at = now
        return True

    async def _judge(self, scribes: list[Scribe]) -> None:
        present = await self._store.are_present([scribe.response_id for scribe in scribes])
        now = asyncio.get_running_loop().time()
        for scribe, is_present in zip(scribes, present, strict=True):
            if is_present:
                self._missing_since.pop(scribe.response_id, None)
                continue
            since = self._missing_since.setdefault(scribe.response_id, now)
            if now - since >= presence_ttl_s(scribe.job.abandon_s):
                _log.info("run.is_abandoned", **about(scribe.response_id, scribe.job.whose))
                began_at = time.time()
                # Through the mark, like every stop: the ending is decided in one place.
                ask = self._trail.ask(BY_WORKER, [scribe.response_id], reason=ABANDONED)
                receipt = await self._store.stop(scribe.response_id, None, by=BY_WORKER.by, reason=ABANDONED)
                trace_stop(receipt, BY_WORKER, began_at=began_at)
                self._trail.follow(ask, [receipt])
        live = {scribe.response_id for scribe in self._roster}
        for response_id in self._missing_since.keys() - live:
            del self._missing_since[response_id]
