"""Stopping: the endpoints of broadcast stops.

Owns what a request of them does: a dry run, the ask, the look, the waiting. Does not own the carrying out
(`gateway.admin.runner`). Guarantees: an answer with an id comes after its record is durable; from then on it is carried
out, whatever single gateway dies; whoever is no operator is refused, and the refusal is audited.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal, TypedDict

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from andon.audit import Asker, AuditId, Door, Outcome, Role
from andon.broadcasts import Broadcast, BroadcastId, Broadcasts, Made, Scope, State
from andon.errors import ConflictError, ForbiddenError, GoneError, NotFoundError, RequestError, StoreUnavailable
from andon.frames import encode
from andon.ids import Principal
from andon.member import Member
from andon.members import REASON, reason_of
from andon.scopes import is_operator
from andon.settings import Settings
from andon.tracing import Attribute
from gateway.admin import page
from gateway.admin.access import no_operator, operator_of
from gateway.admin.broadcast_trace import asking
from gateway.admin.broadcasting import Means, matching
from gateway.admin.filter import within
from gateway.admin.rows import LiveState
from gateway.admin.runner import Runner
from gateway.admin.scope import SCOPE, SCOPE_SCHEMA, parse_scope
from gateway.admin.shown import ShownBroadcast, broadcast_row
from gateway.asking import asker_of
from gateway.contract.operation import Answer, OperationRoute, operation
from gateway.http.body import read_object
from gateway.http.caller import principal_of
from gateway.http.create_request import KEY
from gateway.http.switch import is_on, switch

_LOOK_S: Final = 0.1
_WAIT_S: Final = 25.0  # under the time-outs that proxies have
_STREAM_S: Final = 600.0
_LIST: Final = 20
_LIMIT: Final = page.limit_of(_LIST, 100)


def _flag(name: str, meaning: str) -> Member[bool]:
    return Member[bool](name, bool, "true or false", meaning)


_DRY_RUN: Final = _flag("dry_run", "Count what is in the scope now, and stop nothing.")
_WAIT: Final = _flag("wait", f"Answer when it is over, or after {_WAIT_S:g} seconds.")
_STREAM: Final = _flag("stream", "Answer with server-sent events: `stop.progress`, then `stop.ended`.")
_BODY: Final[tuple[Member[Any], ...]] = (SCOPE, REASON, _DRY_RUN, _WAIT, _STREAM)
_NAMES: Final = frozenset(member.name for member in _BODY)
_BODY_RULES: Final = ({"properties": {SCOPE.name: SCOPE_SCHEMA}}, {"propertyNames": {"enum": sorted(_NAMES)}})
_KEY: Final = msgspec.structs.replace(
    KEY, meaning="The same key of the same operator is the same stop; with another scope or reason it is refused."
)
_FOLLOW: Final = switch("stream", "Server-sent events instead, until it is over.")
_BROADCAST_ID: Final = Member[str]("broadcast_id", str, "a string", "The `id` of a broadcast stop.")


class DryRun(msgspec.Struct, frozen=True, tag_field="object", tag="broadcast_stop.dry_run"):
    """What is in a scope now."""

    scope: Scope
    within: Annotated[str | None, Meta(description="The one tenant that the operator is bound to; null: none.")]
    matched: int
    states: dict[LiveState, int]
    sessions: int
    tenants: int


class BroadcastList(TypedDict):
    """The newest broadcast stops, newest first."""

    object: Literal["list"]
    data: list[ShownBroadcast]


class Stopping:
    """The endpoints."""

    def __init__(self, means: Means, runner: Runner, settings: Settings) -> None:
        self._means = means
        self._runner = runner
        self._settings = settings

    @property
    def _broadcasts(self) -> Broadcasts:
        return self._means.broadcasts

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [
            operation(
                "POST", "/v1/admin/stops", self.ask, "adminStop", "Stop all that is live in a scope.",
                answers={
                    200: Answer("It is over; or what a dry run counted.", ShownBroadcast | DryRun, is_stream=True),
                    202: Answer("It is durable, and carried out from now on.", ShownBroadcast),
                },
                refusals=(409, 413), headers=(_KEY,), body=_BODY, body_rules=_BODY_RULES,
            ),
            operation(
                "GET", "/v1/admin/stops", self.recent, "adminListStops", "List the newest broadcast stops.",
                answers={200: Answer("Newest first.", BroadcastList)}, query=(_LIMIT,),
            ),
            operation(
                "GET", "/v1/admin/stops/{broadcast_id}", self.look, "adminRetrieveStop",
                "Tell how far a broadcast stop got.",
                answers={200: Answer("As it stands.", ShownBroadcast, is_stream=True)}, refusals=(404,),
                path_members=(_BROADCAST_ID,), query=(_FOLLOW,),
            ),
        ]  # fmt: skip

    async def ask(self, request: Request) -> Response:
        """`POST /v1/admin/stops`."""
        principal = await principal_of(request)
        asker = asker_of(request, principal, Door.ADMIN, Role.OPERATOR)
        if not is_operator(principal):
            raise self._refused(asker)
        body = await read_object(request, self._settings.max_frame_bytes)
        for name in body.keys() - _NAMES:
            raise RequestError("unknown_parameter", f"There is no `{name[:80]}` here.", param=name[:80])
        bound = within(principal)
        scope, reason = parse_scope(body, bound), reason_of(body)
        is_stream, is_wait = _STREAM.read(body), _WAIT.read(body)
        if _DRY_RUN.read(body):
            return await self._count(scope, bound)
        broadcast = await self._made(principal, asker, scope, reason, _KEY.read(request.headers))
        self._runner.start(broadcast)
        if is_stream:
            return _streamed(self._advances(broadcast.id))
        if is_wait:
            broadcast = await self._waited(broadcast)
        return _told(broadcast_row(broadcast), 202 if broadcast.state is State.RUNNING else 200)

    async def recent(self, request: Request) -> Response:
        """`GET /v1/admin/stops`: the newest, newest first."""
        principal = await operator_of(request)
        count = page.limit(request.query_params, _LIMIT, _LIST)
        data = [broadcast_row(each) for each in await self._broadcasts.recent(count) if _may_see(principal, each)]
        return _told(BroadcastList(object="list", data=data))

    async def look(self, request: Request) -> Response:
        """`GET /v1/admin/stops/{id}`: how far it got; with `stream=true` as it goes."""
        principal = await operator_of(request)
        broadcast = await self._broadcasts.read(BroadcastId(request.path_params["broadcast_id"][:64]))
        if broadcast is None or not _may_see(principal, broadcast):
            raise NotFoundError("stop_not_found", "There is no such broadcast stop, or it has expired.")
        if is_on(request, _FOLLOW):
            return _streamed(self._advances(broadcast.id))
        return _told(broadcast_row(broadcast))

    def _refused(self, asker: Asker) -> ForbiddenError:
        owner = msgspec.structs.replace(asker, role=Role.OWNER)  # it concerns nobody but whoever asked
        self._means.trail.conclude(self._means.trail.ask(owner, reason=None), Outcome.FORBIDDEN)
        return no_operator()

    async def _count(self, scope: Scope, bound: str | None) -> Response:
        rows = await matching(self._means.rows, scope, bound)
        states = [row.state for row in rows]
        counted = DryRun(
            scope=scope,
            within=bound,
            matched=len(rows),
            states={state: states.count(state) for state in sorted(set(states))},
            sessions=len({row.session_tag for row in rows}),
            tenants=len({row.tenant for row in rows}),
        )
        return _told(counted)

    async def _made(
        self, principal: Principal, asker: Asker, scope: Scope, reason: str | None, key: str | None
    ) -> Broadcast:
        """Write the record, with the audit's entry just before it."""
        broadcast_id = _id_of(principal, key)
        bound = within(principal)
        told: dict[str, Any] = msgspec.to_builtins(scope)
        tenant = bound or scope.tenant or ""
        self._means.trail.ask(asker, reason=reason, scope=told, tenant=tenant, audit_id=AuditId(broadcast_id))
        digest = hashlib.blake2b(encode([told, reason]), digest_size=16).hexdigest()
        with asking(broadcast_id, asker) as (span, linked):
            made = await self._broadcasts.make(broadcast_id, scope, linked, reason=reason, within=bound, digest=digest)
            span.set({Attribute.OUTCOME: made})
        if made is Made.CONFLICT:
            message = "`Idempotency-Key`: another scope or reason came with it before. Use a new key."
            raise ConflictError("idempotency_conflict", message, param="Idempotency-Key")
        broadcast = await self._broadcasts.read(broadcast_id)
        if broadcast is None:
            raise GoneError("job_lost", "Redis lost the record of this stop. Ask again.")
        return broadcast

    async def _waited(self, broadcast: Broadcast) -> Broadcast:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                while broadcast.state is State.RUNNING:
                    await asyncio.sleep(_LOOK_S)
                    broadcast = await self._broadcasts.read(broadcast.id) or broadcast
        return broadcast

    async def _advances(self, broadcast_id: BroadcastId) -> AsyncIterator[bytes]:
        """Tell each advance, until it is over."""
        told: ShownBroadcast | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STREAM_S):
                while True:
                    with contextlib.suppress(StoreUnavailable):  # it goes on; so does whoever looks
                        broadcast = await self._broadcasts.read(broadcast_id)
                        if broadcast is None:
                            return
                        if (row := broadcast_row(broadcast)) != told:
                            told = row
                            yield b"event: stop.%b\ndata: %b\n\n" % (_word(broadcast.state), encode(row))
                        if broadcast.state is not State.RUNNING:
                            return
                    await asyncio.sleep(_LOOK_S)


def _word(state: State) -> bytes:
    return b"progress" if state is State.RUNNING else b"ended"


def _id_of(principal: Principal, key: str | None) -> BroadcastId:
    """Make the id: the same for the same key of the same operator."""
    if key is None:
        return BroadcastId("bc_" + secrets.token_hex(12))
    digest = hashlib.blake2b(encode([principal.tenant, principal.subject, key]), digest_size=12)
    return BroadcastId("bc_" + digest.hexdigest())


def _may_see(principal: Principal, broadcast: Broadcast) -> bool:
    return within(principal) in {None, broadcast.within}


def _told(body: ShownBroadcast | DryRun | BroadcastList, status: int = 200) -> Response:
    return Response(encode(body), status, media_type="application/json")


def _streamed(events: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")
