"""Auditing: the endpoint that reads the audit, page by page or as JSON lines.

Owns the filter, the page and the export. Guarantees: an operator of one tenant reads what concerns that tenant, and is
not told that a response exists elsewhere.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from andon.audit import AuditReader, Entry, Outcome, Step, encode_entry
from andon.errors import RequestError, StoreUnavailable
from andon.frames import encode
from gateway.admin import page
from gateway.admin.access import operator_of
from gateway.admin.filter import within

_NAMES: Final = ("after", "before", "limit", "format", "tenant", "response_id", "id", "step", "outcome", "door")
_LIMIT: Final = 100
_LIMIT_MOST: Final = 1000
# Entries one page looks through; a filter that finds little is told where to go on.
_MOST_READ: Final = 20_000
_JSON_LINES: Final = "application/jsonl"


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are asked for, and may be read."""

    within: str | None
    after: str
    before: str
    tenant: str | None = None
    response_id: str | None = None
    id: str | None = None
    step: str | None = None
    outcome: str | None = None
    door: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry, as it is shown, is asked for."""
        return (
            self.tenant in {None, entry.tenant}
            and (self.response_id is None or entry.is_about(self.response_id))
            and self.id in {None, entry.id}
            and self.step in {None, entry.step}
            and self.outcome in {None, entry.outcome}
            and self.door in {None, entry.asker.door}
        )


class Auditing:
    """The endpoint."""

    def __init__(self, reader: AuditReader) -> None:
        self._reader = reader

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/admin/audit", self.read, methods=["GET"])]

    async def read(self, request: Request) -> Response:
        """`GET /v1/admin/audit`: oldest first."""
        bound = within(await operator_of(request))
        query = request.query_params
        wanted, limit = _parse(query, bound), page.limit(query, _LIMIT, _LIMIT_MOST)
        if query.get("format") == "jsonl" or _JSON_LINES in request.headers.get("accept", ""):
            return StreamingResponse(self._lines(wanted), media_type=_JSON_LINES)
        data, place, has_more = await self._page(wanted, limit)
        body = {"object": "list", "data": data, "has_more": has_more, "next": place if has_more else None}
        return Response(encode(body), media_type="application/json")

    async def _page(self, wanted: Wanted, limit: int) -> tuple[list[dict[str, Any]], str, bool]:
        data: list[dict[str, Any]] = []
        last, count = wanted.after, 0
        async for place, entry in self._reader.entries(wanted.after, wanted.before, tenant=wanted.within):
            if len(data) == limit or count == _MOST_READ:
                return data, last, True
            last, count = place, count + 1
            if (shown := _shown(wanted, entry)) is not None:
                data.append({"place": place, **msgspec.to_builtins(shown)})
        return data, last, False

    async def _lines(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Write all that is asked for. Redis away in the middle cuts the body short, as a lost connection does."""
        gathered: list[bytes] = []
        try:
            async for _, entry in self._reader.entries(wanted.after, wanted.before, tenant=wanted.within):
                if (shown := _shown(wanted, entry)) is not None:
                    gathered.append(encode_entry(shown) + b"\n")
                if len(gathered) == _LIMIT_MOST:
                    yield b"".join(gathered)
                    gathered.clear()
        except StoreUnavailable as error:
            gathered.append(encode({"error": {"code": error.code, "message": error.message}}) + b"\n")
        yield b"".join(gathered)


def _shown(wanted: Wanted, entry: Entry | None) -> Entry | None:
    if entry is None:
        return None
    if wanted.within is not None and entry.outcome is Outcome.FOREIGN:
        entry = msgspec.structs.replace(entry, outcome=Outcome.UNKNOWN)
    return entry if wanted.takes(entry) else None


def _parse(query: Mapping[str, str], bound: str | None) -> Wanted:
    for name in query:
        if name not in _NAMES:
            raise RequestError("unknown_parameter", f"`{name[:80]}` is not known here. There are: {', '.join(_NAMES)}.")
    if query.get("format", "json") not in {"json", "jsonl"}:
        raise RequestError("invalid_value", "`format`: expected `json` or `jsonl`.", param="format")
    if query.get("step", "asked") not in set(Step):
        raise RequestError("invalid_value", f"`step`: expected one of {', '.join(Step)}.", param="step")
    told = {name: query[name] for name in ("tenant", "response_id", "id", "step", "outcome", "door") if name in query}
    return Wanted(bound, _place(query, "after", "-"), _place(query, "before", "+"), **told)


def _place(query: Mapping[str, str], name: str, default: str) -> str:
    """Read a place in the stream, or Unix seconds."""
    text = query.get(name)
    if text is None:
        return default
    milliseconds, dash, number = text.partition("-")
    try:
        if dash:
            return f"{_number(milliseconds)}-{_number(number)}"
        at = int(float(text) * 1000)
        if 0 <= at < 2**53:
            # Of one millisecond: none for `after`, all for `before`.
            return f"{at}-{0 if name == 'after' else 2**63}"
    except (ValueError, OverflowError):
        pass
    message = f"`{name}`: expected Unix seconds, or the `place` of an entry."
    raise RequestError("invalid_value", message, param=name)


def _number(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1  # noqa: PLR2004  64 bits
    if not 0 <= value < 2**64:
        raise ValueError(text)
    return value
