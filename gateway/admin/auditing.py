"""Auditing: the endpoint that reads the audit, page by page or as JSON lines.

Owns the filter, the page and the export. Guarantees: an operator of one tenant reads what concerns that tenant, and is
not told that a response exists elsewhere.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final, Literal, TypedDict

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from andon.audit import AuditReader, Door, Entry, Outcome, Step, encode_entry
from andon.errors import RequestError, StoreUnavailable
from andon.frames import encode
from andon.member import Member
from gateway.admin import page
from gateway.admin.access import operator_of
from gateway.admin.filter import within
from gateway.contract.operation import Answer, OperationRoute, operation

_DEFAULT: Final = 100
_MOST: Final = 1000
# Entries one page looks through; a filter that finds little is told where to go on.
_MOST_READ: Final = 20_000
_JSON_LINES: Final = "application/jsonl"


def _member(name: str, type_: Any, expected: str, meaning: str) -> Member[str]:
    return Member[str](name, type_, expected, meaning, "invalid_value")


# Unix seconds, or a place in the stream; Python's `$` alone would let a line feed pass.
_Place = Annotated[str, Meta(pattern=r"^([0-9]{1,19}-[0-9]{1,19}|[0-9]{1,12}(\.[0-9]{1,9})?)(?!\n)$")]
_PLACE: Final = "Unix seconds, or the `place` of an entry"
_AFTER: Final = _member("after", _Place, _PLACE, "What was written after this.")
_BEFORE: Final = _member("before", _Place, _PLACE, "What was written until then, itself included.")
_LIMIT: Final = page.limit_of(_DEFAULT, _MOST)
_FORMAT: Final = _member(
    "format", Literal["json", "jsonl"], "`json` or `jsonl`", "`jsonl`: all of it, one entry a line. Default: `json`."
)
_WORDS: Final = (
    _member("tenant", str, "a string", "Concerning this tenant."),
    _member("response_id", str, "a string", "About this response."),
    _member("id", str, "a string", "The ask and its outcomes."),
    _member("step", Step, f"one of {', '.join(Step)}", "Only asks, or only outcomes."),
    _member("outcome", Outcome, f"one of {', '.join(Outcome)}", "With this outcome."),
    _member("door", Door, f"one of {', '.join(Door)}", "Asked for there."),
)
QUERY: Final[tuple[Member[Any], ...]] = (_AFTER, _BEFORE, _LIMIT, _FORMAT, *_WORDS)
_NAMES: Final = tuple(member.name for member in QUERY)


class PlacedEntry(Entry, frozen=True, omit_defaults=True, kw_only=True):
    """One entry, and its place in the stream."""

    place: str


class AuditPage(TypedDict):
    """Entries, oldest first. A page may have fewer than asked for, or none, and more to come."""

    object: Literal["list"]
    data: list[PlacedEntry]
    has_more: bool
    next: Annotated[str | None, Meta(description="The `after` of the page after this one.")]


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

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [
            operation(
                "GET", "/v1/admin/audit", self.read, "adminReadAudit",
                "Read who asked for which stop, and how far it got.",
                answers={200: Answer("A page of it, or all as lines.", AuditPage, is_lines=True)}, query=QUERY,
            )
        ]  # fmt: skip

    async def read(self, request: Request) -> Response:
        """`GET /v1/admin/audit`: oldest first."""
        bound = within(await operator_of(request))
        query = request.query_params
        wanted, limit = parse_wanted(query, bound), page.limit(query, _LIMIT, _DEFAULT)
        if query.get(_FORMAT.name) == "jsonl" or _JSON_LINES in request.headers.get("accept", ""):
            return StreamingResponse(self._lines(wanted), media_type=_JSON_LINES)
        data, place, has_more = await self._page(wanted, limit)
        body: AuditPage = {"object": "list", "data": data, "has_more": has_more, "next": place if has_more else None}
        return Response(encode(body), media_type="application/json")

    async def _page(self, wanted: Wanted, limit: int) -> tuple[list[PlacedEntry], str, bool]:
        data: list[PlacedEntry] = []
        last, count = wanted.after, 0
        async for place, entry in self._reader.entries(wanted.after, wanted.before, tenant=wanted.within):
            if len(data) == limit or count == _MOST_READ:
                return data, last, True
            last, count = place, count + 1
            if (shown := _shown(wanted, entry)) is not None:
                data.append(PlacedEntry(**msgspec.structs.asdict(shown), place=place))
        return data, last, False

    async def _lines(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Write all that is asked for. Redis away in the middle cuts the body short, as a lost connection does."""
        gathered: list[bytes] = []
        try:
            async for _, entry in self._reader.entries(wanted.after, wanted.before, tenant=wanted.within):
                if (shown := _shown(wanted, entry)) is not None:
                    gathered.append(encode_entry(shown) + b"\n")
                if len(gathered) == _MOST:
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


def parse_wanted(query: Mapping[str, str], bound: str | None) -> Wanted:
    """Read which entries are asked for. `bound`: the one tenant of the operator. Raises RequestError."""
    for name in query:
        if name not in _NAMES:
            message = f"`{name[:80]}` is not known here. There are: {', '.join(_NAMES)}."
            raise RequestError("unknown_parameter", message, param=name[:80])
    _FORMAT.read(query)
    told = {word.name: word.checked(query[word.name]) for word in _WORDS if word.name in query}
    return Wanted(bound, _place(query, _AFTER, "-"), _place(query, _BEFORE, "+"), **told)


def _place(query: Mapping[str, str], member: Member[str], default: str) -> str:
    """Read a place in the stream, or Unix seconds."""
    text = member.read(query)
    if text is None or "-" in text:
        return default if text is None else text
    # Of one millisecond: none for `after`, all for `before`.
    return f"{int(float(text) * 1000)}-{0 if member is _AFTER else 2**63}"
