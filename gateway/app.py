"""App: the ASGI application of a gateway process.

Owns the routes, the nest of what lives as long as the process, and the refusal of bad handshakes. A socket's own
life is `gateway.socket`; what comes over HTTP is `gateway.http`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from andon.database import Database
from andon.errors import RequestError, RetryLaterError, StoreUnavailable, error_event
from andon.frames import encode
from andon.ids import SessionName, SessionTag, new_gateway_id, new_session_name
from andon.lifetime import background
from andon.protocol import Retrieve, required_response_id, session_name, starting_after_of
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from andon.sweep import Sweep
from gateway.doorkeeper import Doorkeeper
from gateway.http.refusal import EXCEPTION_HANDLERS
from gateway.http.side import HttpSide
from gateway.hub import Hub
from gateway.presence import Presence
from gateway.socket import ClientSocket, OnStop
from gateway.sockets import Sockets
from gateway.stops import Stops

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S: Final = 5.0
_PING_EVERY_S: Final = 1.0


class Gateway:
    """What a gateway process holds, and its endpoints."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.doorkeeper = Doorkeeper(settings)
        self._database = Database(settings.redis_url, timeout_s=settings.command_timeout_s)
        self._replication = self._database.replication(
            timeout_s=settings.command_timeout_s, wait_s=settings.replica_wait_s
        )
        self._store = Store(self._database, settings, self._replication)
        self._shipper = Shipper(self._database)
        self._sweep = Sweep(self._database, settings, store=self._store, shipper=self._shipper)
        self._hub = Hub(self._database, timeout_s=settings.command_timeout_s, ping_every_s=_PING_EVERY_S)
        self._stops = Stops(self._store, self._hub, wait_s=settings.cancel_wait_s, on_settled=self._shipper.note)
        self._presence = Presence(self._store, self._hub)
        self.sockets = Sockets(slow_reader_s=settings.slow_reader_s)
        self.http = HttpSide(
            store=self._store, hub=self._hub, stops=self._stops, sockets=self.sockets, settings=settings
        )
        self._id = new_gateway_id()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Gateway"]:
        """Keep everything up for as long as the context lasts. Raises StartError if Redis is not to be had."""
        async with self._database.open(), self._hub.open(), self._replication.open():
            await self._database.wait_connected(_START_TIMEOUT_S)
            # A channel of its own, so that "subscribed" is true or false even while nobody is connected.
            await self._hub.hold(SessionTag(self._id))
            # Before the first stop: whether it must wait for a replica.
            await self._replication.count()
            async with background(
                self._stops.assert_again(),
                self._audit(),
                self._shipper.run(),
                self._sweep.run(),
                self._presence.run(),
                self.sockets.watch(),
            ):
                yield self

    async def _audit(self) -> None:
        """Let silent listeners look at the log now and then: the last resort if a published ending was lost."""
        while True:
            await asyncio.sleep(self.settings.lease_s)
            for listener in self._hub.listeners():
                listener.on_audit()

    # ── endpoints ────────────────────────────────────────────────────────────────────────────────────────────────

    async def responses(self, websocket: WebSocket) -> None:
        """`GET /v1/responses`: the socket."""
        try:
            session, on_stop, first = _read_query(websocket)
        except RequestError as error:
            body = encode(error_event(error))
            await websocket.send_denial_response(Response(body, error.status, media_type="application/json"))
            return
        if self.sockets.is_draining:
            body = encode(error_event(RetryLaterError("restarting", "This replica restarts. Connect again.")))
            await websocket.send_denial_response(Response(body, 503, media_type="application/json"))
            return
        await websocket.accept()
        socket = ClientSocket(
            websocket,
            principal=await self.doorkeeper.admit(websocket),
            session=session,
            on_stop=on_stop,
            store=self._store,
            hub=self._hub,
            stops=self._stops,
            settings=self.settings,
        )
        self.sockets.add(socket)
        try:
            await socket.run(first)
        finally:
            self.sockets.remove(socket)

    async def healthz(self, _: Request) -> Response:
        """`GET /healthz`: the process answers."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        """`GET /readyz`: Redis answers, and this gateway hears what is published."""
        checks: dict[str, Any] = {
            "redis": False,
            "subscribed": not self._hub.deaf,
            "taking_sockets": not self.sockets.is_draining,
        }
        try:
            checks["redis"] = await self._database.call("PING") == b"PONG"
        except (StoreUnavailable, RedisError) as error:
            _log.info("readyz.redis_away", error=str(error))
        ready = all(checks.values())
        return JSONResponse({"status": "ready" if ready else "not_ready", **checks}, 200 if ready else 503)


def _read_query(websocket: WebSocket) -> tuple[SessionName, OnStop, Retrieve | None]:
    query = websocket.query_params
    name = query.get("session")
    session = new_session_name() if name is None else session_name(name)
    try:
        on_stop = OnStop(query.get("on_stop", "close"))
    except ValueError as error:
        message = "`on_stop`: expected `close` or `keep`."
        raise RequestError("invalid_value", message, param="on_stop") from error
    first = None
    if "response_id" in query:
        after = starting_after_of(query.get("starting_after"))
        first = Retrieve(required_response_id(query["response_id"]), after, None)
    return session, on_stop, first


def create_app(gateway: Gateway) -> Starlette:
    """Build the application over an open gateway."""
    app = Starlette(
        routes=[
            WebSocketRoute("/v1/responses", gateway.responses),
            *gateway.http.routes(),
            Route("/healthz", gateway.healthz),
            Route("/readyz", gateway.readyz),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.state.doorkeeper = gateway.doorkeeper
    return app
