"""Presence: says in Redis that somebody is attached to a response.

Owns the rhythm of the renewals. A presence lasts for half of the response's abandon time and is renewed four times in
that, so one lost renewal abandons nobody.
"""

import asyncio
from typing import Final

import structlog

from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.store import Store
from gateway.attachment import Attachment
from gateway.hub import Hub

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 0.5
_RENEWALS_AN_ABANDON: Final = 8


class Presence:
    """Renews the presences of all that this gateway's sockets are attached to."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        # Loop time at which each presence is due again.
        self._due: dict[ResponseId, float] = {}

    async def run(self) -> None:
        """Renew for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            attached = {
                listener.response_id: listener.abandon_s
                for listener in self._hub.listeners()
                if isinstance(listener, Attachment) and listener.accepted and listener.abandon_s
            }
            now = loop.time()
            due = {rid: abandon_s for rid, abandon_s in attached.items() if self._due.get(rid, 0.0) <= now}
            try:
                await self._store.present(due)
            except StoreUnavailable as error:
                _log.info("presence.unsaid", error=str(error))
                continue
            self._due = {rid: at for rid, at in self._due.items() if rid in attached}
            self._due |= {rid: now + abandon_s / _RENEWALS_AN_ABANDON for rid, abandon_s in due.items()}
