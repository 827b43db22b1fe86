"""Lists: what is live, page by page: responses, sessions, workers, gateways.

Owns the endpoints and how a row is written. Guarantees: an operator of one tenant sees its tenant's responses and
sessions only. Workers and gateways belong to no tenant: every operator sees them, with counts and no names.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from andon.frames import encode
from andon.gateways import AboutGateway, Gateways
from andon.ids import Principal, SessionName, SessionTag, session_tag
from andon.lease import Leases, Standing
from gateway.admin import page
from gateway.admin.access import operator_of
from gateway.admin.filter import parse_filter
from gateway.admin.page import Paging, Place, parse_paging
from gateway.admin.rows import Row, Rows
from gateway.admin.scope import is_tag


class Session(msgspec.Struct, frozen=True):
    """One session with something live in it. `created_at`: of its oldest live response."""

    session_tag: SessionTag
    session: str
    tenant: str
    subject: str
    created_at: float
    live: int
    states: dict[str, int]
    models: list[str]
    tokens: int
    stopping: int


class Lists:
    """The endpoints."""

    def __init__(self, *, rows: Rows, leases: Leases, gateways: Gateways) -> None:
        self._rows = rows
        self._leases = leases
        self._gateways = gateways

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/admin/responses", self.responses, methods=["GET"]),
            Route("/v1/admin/sessions", self.sessions, methods=["GET"]),
            Route("/v1/admin/workers", self.workers, methods=["GET"]),
            Route("/v1/admin/gateways", self.gateways, methods=["GET"]),
        ]

    async def responses(self, request: Request) -> Response:
        """`GET /v1/admin/responses`."""
        paging, rows = await self._asked(request)
        now = time.time()
        shown, following = paging.page(rows, _place)
        return _listed([{**msgspec.to_builtins(row), "age_s": _age(now, row.created_at)} for row in shown], following)

    async def sessions(self, request: Request) -> Response:
        """`GET /v1/admin/sessions`: those with a response that the filter takes."""
        paging, rows = await self._asked(request)
        now = time.time()
        shown, following = paging.page(grouped(rows), lambda session: (session.created_at, session.session_tag))
        return _listed(
            [{**msgspec.to_builtins(each), "age_s": _age(now, each.created_at)} for each in shown], following
        )

    async def workers(self, request: Request) -> Response:
        """`GET /v1/admin/workers`."""
        await operator_of(request)
        return _listed([worker_row(standing) for standing in await self._leases.standings()], None)

    async def gateways(self, request: Request) -> Response:
        """`GET /v1/admin/gateways`."""
        await operator_of(request)
        return _listed([gateway_row(about) for about in await self._gateways.list()], None)

    async def _asked(self, request: Request) -> tuple[Paging, list[Row]]:
        principal = await operator_of(request)
        query = request.query_params
        wanted = parse_filter(query, principal, besides=page.NAMES)
        paging = parse_paging(query)
        tag = _tag_of(query)
        rows = await self._rows.all() if tag is None else await self._rows.of_session(tag)
        now = time.time()
        return paging, [row for row in rows if wanted.takes(row, now)]


def _tag_of(query: Mapping[str, str]) -> SessionTag | None:
    """Return the one session that is asked for by tenant, subject and name: then nothing else need be read."""
    tenant, subject, session = query.get("tenant"), query.get("subject"), query.get("session")
    if tenant is None or subject is None or session is None or is_tag(session):
        return None
    return session_tag(Principal(tenant, subject), SessionName(session))


def grouped(rows: Iterable[Row]) -> list[Session]:
    """Group rows by their session."""
    by_tag: dict[SessionTag, list[Row]] = {}
    for row in rows:
        by_tag.setdefault(row.session_tag, []).append(row)
    return [_session(tag, live) for tag, live in by_tag.items()]


def _session(tag: SessionTag, live: list[Row]) -> Session:
    states = [row.state for row in live]
    return Session(
        session_tag=tag,
        session=live[0].session,
        tenant=live[0].tenant,
        subject=live[0].subject,
        created_at=min(row.created_at for row in live),
        live=len(live),
        states={state: states.count(state) for state in sorted(set(states))},
        models=sorted({row.model for row in live}),
        tokens=sum(row.tokens for row in live),
        stopping=sum(row.stop is not None for row in live),
    )


def worker_row(standing: Standing) -> dict[str, Any]:
    """Write a worker. `state`: `live`, `draining`, `overdue` (its lease has run out), or `dead`."""
    if standing.is_dead:
        state = "dead"
    elif standing.left_s < 0:
        state = "overdue"
    else:
        state = "draining" if standing.about.draining else "live"
    return {
        "id": standing.id,
        "state": state,
        "lease_left_s": standing.left_s,
        **msgspec.to_builtins(standing.about),
    }


def gateway_row(about: AboutGateway) -> dict[str, Any]:
    """Write a gateway."""
    written: dict[str, Any] = msgspec.to_builtins(about)
    return written


def _place(row: Row) -> Place:
    return row.created_at, row.id


def _age(now: float, created_at: float) -> float:
    return max(0.0, round(now - created_at, 3))


def _listed(data: list[Any], following: str | None) -> Response:
    body = {"object": "list", "data": data, "has_more": following is not None, "next": following}
    return Response(encode(body), media_type="application/json")
