"""App: the ASGI application of a gateway process.

Owns the routes, the nest of what lives as long as the process, and the refusal of bad handshakes. A socket's own
life is `gateway.socket`; what comes over HTTP is `gateway.http`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, Literal, TypedDict

import structlog
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from andon.audit import Door
from andon.database import Database
from andon.errors import RequestError, RestartingError, RetryLaterError, StoreUnavailable
from andon.ids import SessionName, SessionTag, new_gateway_id, new_session_name
from andon.lifetime import background
from andon.member import Member
from andon.members import RESPONSE_ID, SESSION, STARTING_AFTER, required_response_id, session_name, starting_after_of
from andon.protocol import Retrieve
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from andon.sweep import Sweep
from andon.trail import Trail
from gateway.admin.side import AdminSide
from gateway.asking import asker_of
from gateway.contract.door import ContractDoor
from gateway.contract.operation import Answer, operation
from gateway.doorkeeper import Doorkeeper
from gateway.handshake import accept, refuse
from gateway.http.cross_origin import cross_origin
from gateway.http.refusal import EXCEPTION_HANDLERS
from gateway.http.side import HttpSide
from gateway.hub import Hub
from gateway.keepalive import Keepalive
from gateway.lookout import lookout_here
from gateway.metrics import GatewayMetrics
from gateway.once import Once
from gateway.pages.door import PagesDoor
from gateway.presence import Presence
from gateway.seats import Seats
from gateway.socket import ClientSocket, Means, OnStop
from gateway.sockets import Sockets
from gateway.stops import Stops
from gateway.wire import PIECE_BYTES, taken_over

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S: Final = 5.0
_PING_EVERY_S: Final = 1.0

_ON_STOP: Final = Member[OnStop](
    "on_stop",
    OnStop,
    "`close` or `keep`",
    "`close`, the default: after a stop the socket closes, once nothing else is live on it. `keep`: it stays open.",
    "invalid_value",
)
# The query of the handshake; with `response_id`, it is as if `response.retrieve` were the first frame.
_HANDSHAKE: Final = (SESSION, _ON_STOP, RESPONSE_ID, STARTING_AFTER)


class _Alive(TypedDict):
    status: Literal["ok"]


class _Readiness(TypedDict):
    status: Literal["ready", "not_ready"]
    redis: bool
    subscribed: bool
    taking_sockets: bool


class Gateway:
    """What a gateway process holds, and its endpoints."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = new_gateway_id()
        self.doorkeeper = Doorkeeper(settings)
        self._database = Database(settings.redis_url, timeout_s=settings.command_timeout_s)
        self._replication = self._database.replication(
            timeout_s=settings.command_timeout_s, wait_s=settings.replica_wait_s
        )
        self.metrics = GatewayMetrics(
            self._database, sockets=lambda: len(self.sockets), subscribed=lambda: not self._hub.deaf
        )
        self._store = Store(self._database, settings, self._replication, telemetry=self.metrics)
        self._shipper = Shipper(self._database, self._store.places)
        self._trail = Trail(self._store, process=self.id)
        self._sweep = Sweep(self._database, settings, store=self._store, shipper=self._shipper, trail=self._trail)
        self._lookout = lookout_here()
        self._hub = Hub(
            self._database,
            timeout_s=settings.command_timeout_s,
            ping_every_s=_PING_EVERY_S,
            lookout=self._lookout,
            telemetry=self.metrics,
        )
        self._stops = Stops(
            self._store, self._hub, self._trail, wait_s=settings.cancel_wait_s, on_settled=self._shipper.note
        )
        self._presence = Presence(self._store, self._hub)
        self._seats = Seats(self._database, settings)
        self.sockets = Sockets(
            slow_reader_s=settings.slow_reader_s, lapsed=self.doorkeeper.lapsed, telemetry=self.metrics
        )
        self._keepalive = Keepalive(settings.ws_ping_interval_s, settings.ws_ping_timeout_s)
        self._means = Means(
            self.doorkeeper, self._store, self._hub, self._stops, settings, Once(PIECE_BYTES), on_over=self._socket_over
        )
        self.http = HttpSide(
            store=self._store, hub=self._hub, stops=self._stops, sockets=self.sockets, settings=settings
        )
        self.admin = AdminSide(
            store=self._store,
            stops=self._stops,
            trail=self._trail,
            sockets=self.sockets,
            settings=settings,
            gateway_id=self.id,
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Gateway"]:
        """Keep everything up for as long as the context lasts. Raises StartError if Redis is not to be had."""
        async with self.doorkeeper.open(), self._database.open(), self._hub.open(), self._replication.open():
            await self._database.wait_connected(_START_TIMEOUT_S)
            # A channel of its own, so that "subscribed" is true or false even while nobody is connected.
            await self._hub.hold(SessionTag(self.id))
            # Before the first stop: whether it must wait for a replica.
            await self._replication.count()
            async with background(
                self._stops.assert_again(),
                self._audit(),
                self._shipper.run(),
                self._trail.run(),
                self.admin.run(),
                self._sweep.run(),
                self._presence.run(),
                self._seats.vouch(),
                self.sockets.watch(),
                self.metrics.pulse.run(),
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
            if self.sockets.is_draining:
                raise RestartingError("This replica restarts. Connect again.")
            permit = await self.doorkeeper.permit(websocket)
            session, on_stop, first = _read_query(websocket)
        except (RequestError, RetryLaterError) as error:
            await refuse(websocket, error)
            return
        principal = permit.principal
        try:
            if self.sockets.is_draining:
                raise RestartingError("This replica restarts. Connect again.")
            seat = await self._seats.take(principal)
        except RetryLaterError as error:
            await refuse(websocket, error)
            return
        try:
            await accept(websocket)
            wire = taken_over(websocket, self._keepalive, self._lookout)
        except BaseException:
            seat.leave()
            raise

        socket = ClientSocket(
            wire,
            self._means,
            permit=permit,
            asker=asker_of(websocket, principal, Door.SOCKET),
            session=session,
            on_stop=on_stop,
            seat=seat,
        )
        self.sockets.add(socket)
        # From here on the transport calls it; this task, and what the handshake needed, is over.
        socket.begin(first)

    def _socket_over(self, socket: ClientSocket) -> None:
        self.sockets.remove(socket)
        socket.seat.leave()

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
    on_stop = _ON_STOP.read(query) or OnStop.CLOSE
    first = None
    if "response_id" in query:
        after = starting_after_of(query.get("starting_after"))
        first = Retrieve(required_response_id(query["response_id"]), after, None)
    return session, on_stop, first


def _routes(gateway: Gateway, contract: ContractDoor) -> list[BaseRoute]:
    """List what there is; each route says for the contract what it does."""
    return [
        WebSocketRoute("/v1/responses", gateway.responses),
        *gateway.http.routes(),
        *gateway.admin.routes(),
        operation(
            "GET", "/healthz", gateway.healthz, "healthz", "Whether the process answers.",
            answers={200: Answer("It does.", _Alive)}, is_open=True,
        ),
        operation(
            "GET", "/readyz", gateway.readyz, "readyz", "Whether it can do its work.",
            answers={200: Answer("It can.", _Readiness), 503: Answer("It cannot, yet or any more.", _Readiness)},
            is_open=True,
        ),
        operation(
            "GET", "/metrics", gateway.metrics.scrape, "metrics", "What this replica counts, for Prometheus.",
            answers={200: Answer("Prometheus' text, or OpenMetrics where that is accepted.")}, is_open=True,
        ),
        *contract.routes(),
        *PagesDoor(gateway.settings).routes(),
    ]  # fmt: skip


def create_app(gateway: Gateway) -> Starlette:
    """Build the application over an open gateway."""
    contract = ContractDoor(_HANDSHAKE)
    app = Starlette(
        routes=_routes(gateway, contract),
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=cross_origin(gateway.settings.allowed_origins),
    )
    app.state.doorkeeper = gateway.doorkeeper
    app.state.contract = contract
    contract.publish(app.routes)
    return app
