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
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from andon.audit import Asker, AuditId, Door, Outcome, Role
from andon.broadcasts import Broadcast, BroadcastId, Broadcasts, Made, Scope, State
from andon.errors import ConflictError, ForbiddenError, GoneError, NotFoundError, RequestError, StoreUnavailable
from andon.frames import encode
from andon.ids import Principal
from andon.protocol import reason_of
from andon.scopes import is_operator
from andon.settings import Settings
from gateway.admin import page
from gateway.admin.access import no_operator, operator_of
from gateway.admin.broadcasting import Means, matching
from gateway.admin.filter import within
from gateway.admin.runner import Runner
from gateway.admin.scope import parse_scope
from gateway.admin.shown import broadcast_row
from gateway.asking import asker_of
from gateway.http.body import read_object
from gateway.http.caller import principal_of

_LOOK_S: Final = 0.1
_WAIT_S: Final = 25.0  # under the time-outs that proxies have
_STREAM_S: Final = 600.0
_KEY_MAX_CHARS: Final = 255
_LIST: Final = 20
_LIST_MOST: Final = 100
_MEMBERS: Final = frozenset({"scope", "dry_run", "reason", "wait", "stream"})


class Stopping:
    """The endpoints."""

    def __init__(self, means: Means, runner: Runner, settings: Settings) -> None:
        self._means = means
        self._runner = runner
        self._settings = settings

    @property
    def _broadcasts(self) -> Broadcasts:
        return self._means.broadcasts

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/admin/stops", self.ask, methods=["POST"]),
            Route("/v1/admin/stops", self.recent, methods=["GET"]),
            Route("/v1/admin/stops/{broadcast_id}", self.look, methods=["GET"]),
        ]

    async def ask(self, request: Request) -> Response:
        """`POST /v1/admin/stops`."""
        principal = await principal_of(request)
        asker = asker_of(request, principal, Door.ADMIN, Role.OPERATOR)
        if not is_operator(principal):
            raise self._refused(asker)
        body = await read_object(request, self._settings.max_frame_bytes)
        for name in body.keys() - _MEMBERS:
            raise RequestError("unknown_parameter", f"There is no `{name[:80]}` here.", param=name[:80])
        bound = within(principal)
        scope, reason = parse_scope(body, bound), reason_of(body)
        if _switch(body, "dry_run"):
            return await self._count(scope, bound)
        key = request.headers.get("idempotency-key")
        broadcast = await self._made(principal, asker, scope, reason, key)
        self._runner.start(broadcast)
        if _switch(body, "stream"):
            return _streamed(self._advances(broadcast.id))
        if _switch(body, "wait"):
            broadcast = await self._waited(broadcast)
        return _told(broadcast_row(broadcast), 202 if broadcast.state is State.RUNNING else 200)

    async def recent(self, request: Request) -> Response:
        """`GET /v1/admin/stops`: the newest, newest first."""
        principal = await operator_of(request)
        count = page.limit(request.query_params, _LIST, _LIST_MOST)
        data = [broadcast_row(each) for each in await self._broadcasts.recent(count) if _may_see(principal, each)]
        return _told({"object": "list", "data": data})

    async def look(self, request: Request) -> Response:
        """`GET /v1/admin/stops/{id}`: how far it got; with `stream=true` as it goes."""
        principal = await operator_of(request)
        broadcast = await self._broadcasts.read(BroadcastId(request.path_params["broadcast_id"][:64]))
        if broadcast is None or not _may_see(principal, broadcast):
            raise NotFoundError("stop_not_found", "There is no such broadcast stop, or it has expired.")
        if request.query_params.get("stream", "false") == "true":
            return _streamed(self._advances(broadcast.id))
        return _told(broadcast_row(broadcast))

    def _refused(self, asker: Asker) -> ForbiddenError:
        owner = msgspec.structs.replace(asker, role=Role.OWNER)  # it concerns nobody but whoever asked
        self._means.trail.conclude(self._means.trail.ask(owner, reason=None), Outcome.FORBIDDEN)
        return no_operator()

    async def _count(self, scope: Scope, bound: str | None) -> Response:
        rows = await matching(self._means.rows, scope, bound)
        states = [row.state for row in rows]
        counted = {
            "object": "broadcast_stop.dry_run",
            "scope": msgspec.to_builtins(scope),
            "within": bound,
            "matched": len(rows),
            "states": {state: states.count(state) for state in sorted(set(states))},
            "sessions": len({row.session_tag for row in rows}),
            "tenants": len({row.tenant for row in rows}),
        }
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
        made = await self._broadcasts.make(broadcast_id, scope, asker, reason=reason, within=bound, digest=digest)
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
        told: dict[str, Any] | None = None
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
    if not 0 < len(key) <= _KEY_MAX_CHARS:
        message = f"`Idempotency-Key`: expected 1 to {_KEY_MAX_CHARS} characters."
        raise RequestError("invalid_value", message, param="Idempotency-Key")
    digest = hashlib.blake2b(encode([principal.tenant, principal.subject, key]), digest_size=12)
    return BroadcastId("bc_" + digest.hexdigest())


def _may_see(principal: Principal, broadcast: Broadcast) -> bool:
    return within(principal) in {None, broadcast.within}


def _switch(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise RequestError("invalid_type", f"`{name}`: expected true or false.", param=name)
    return value


def _told(body: dict[str, Any], status: int = 200) -> Response:
    return Response(encode(body), status, media_type="application/json")


def _streamed(events: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")
