"""Side: the administrative side of a gateway: its doors, what they share, and what runs behind them."""

import asyncio
import os
import socket
import time
from typing import Final

import structlog
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from andon.audit import AuditReader
from andon.broadcasts import Broadcasts
from andon.errors import RequestError, RetryLaterError, StoreUnavailable
from andon.gateways import ANNOUNCE_EVERY_S, AboutGateway, Gateways
from andon.ids import GatewayId
from andon.lease import Leases
from andon.lifetime import background
from andon.settings import Settings
from andon.store import Store
from andon.trail import Trail
from gateway.admin.access import operators_permit
from gateway.admin.auditing import Auditing
from gateway.admin.broadcasting import Means
from gateway.admin.filter import parse_filter
from gateway.admin.lists import Lists
from gateway.admin.rows import Rows
from gateway.admin.runner import Runner
from gateway.admin.sight import Collector
from gateway.admin.stopping import Stopping
from gateway.admin.watcher import Watcher
from gateway.handshake import accept, refuse
from gateway.http.refusal import restarting
from gateway.sockets import Sockets
from gateway.stops import Stops

_log = structlog.get_logger(__name__)

_GOODBYE_S: Final = 1.0


class AdminSide:
    """What a gateway has for operators."""

    def __init__(
        self,
        *,
        store: Store,
        stops: Stops,
        trail: Trail,
        sockets: Sockets,
        settings: Settings,
        gateway_id: GatewayId,
    ) -> None:
        self._sockets = sockets
        self._id = gateway_id
        self._since = round(time.time(), 3)
        leases = Leases(store.database, lease_s=settings.lease_s)
        rows = Rows(store.database, leases)
        broadcasts = Broadcasts(store.database, lease_s=settings.lease_s)
        audit = AuditReader(store.database)
        means = Means(broadcasts, rows, store, stops, trail, gateway_id)
        self._gateways = Gateways(store.database)
        self._runner = Runner(means)
        self._collector = Collector(
            rows=rows, leases=leases, gateways=self._gateways, broadcasts=broadcasts, audit=audit
        )
        self._lists = Lists(rows=rows, leases=leases, gateways=self._gateways)
        self._stopping = Stopping(means, self._runner, settings)
        self._auditing = Auditing(audit)

    def routes(self) -> list[BaseRoute]:
        """List the routes."""
        return [
            *self._lists.routes(),
            *self._stopping.routes(),
            *self._auditing.routes(),
            WebSocketRoute("/v1/admin/feed", self.feed),
        ]

    async def run(self) -> None:
        """Run what is behind the doors, for ever."""
        async with background(self._runner.adopt(), self._collector.run()):
            await self._announce()

    async def feed(self, websocket: WebSocket) -> None:
        """`GET /v1/admin/feed`: the live feed."""
        try:
            permit = await operators_permit(websocket)
            wanted = parse_filter(websocket.query_params, permit.principal)
            if self._sockets.is_draining:
                raise restarting()
        except (RequestError, RetryLaterError) as error:
            await refuse(websocket, error)
            return
        await accept(websocket)
        watcher = Watcher(websocket, permit, wanted, self._collector)
        self._sockets.add(watcher)
        try:
            await watcher.run()
        finally:
            self._sockets.remove(watcher)

    async def _announce(self) -> None:
        """Say that this gateway is there, for ever; at its end, that it is not."""
        try:
            while True:
                try:
                    await self._gateways.announce(self._about())
                except StoreUnavailable as error:
                    _log.info("gateway.not_announced", error=str(error))
                await asyncio.sleep(ANNOUNCE_EVERY_S)
        finally:
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await self._gateways.leave(self._id)
            except (StoreUnavailable, TimeoutError) as error:
                _log.info("gateway.goodbye_unsaid", error=str(error))  # its key runs out by itself

    def _about(self) -> AboutGateway:
        return AboutGateway(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            sockets=len(self._sockets),
            draining=self._sockets.is_draining,
            since=self._since,
            at=round(time.time(), 3),
        )
