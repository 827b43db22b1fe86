"""Audit: who asked for which stop, from where, why, and how far it got.

Owns the form of an entry, the stream that entries are in, and its reading. Does not own when entries are written
(`andon.trail`). An ask and its outcomes are entries of one id: `asked` is written just before the stop, one `outcome`
for each response when it is settled. An entry is written at least once: a reader takes those of one id, step and
response for the same. Entries hold names, times and reasons, never what was said to or by a model, never a token.

The stream is trimmed by age (7 days) and by length (`ANDON_AUDIT_MAX_ENTRIES`).
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from enum import StrEnum
from typing import Any, Final, NewType

import msgspec

from andon import keys
from andon.database import Database
from andon.errors import ContractError
from andon.ids import Principal, ResponseId
from andon.replies import StopReceipt
from andon.tracing import NO_TRACE, TraceContext

AuditId = NewType("AuditId", str)

KEEP_S: Final = 7 * 86400
# Ids that one ask lists; an outcome tells each of them all the same.
MOST_LISTED: Final = 100
_PAGE: Final = 500


class Role(StrEnum):
    """As what somebody asked."""

    OWNER = "owner"
    OPERATOR = "operator"
    # Nobody asked: Andon itself saw to it.
    ANDON = "andon"


class Door(StrEnum):
    """Where a stop was asked for."""

    SOCKET = "socket"
    HTTP = "http"
    # The client closed the connection of its own request.
    DISCONNECT = "disconnect"
    ADMIN = "admin"
    SWEEP = "sweep"
    WORKER = "worker"


class Step(StrEnum):
    """Which half of the story an entry tells."""

    ASKED = "asked"
    OUTCOME = "outcome"


class Outcome(StrEnum):
    """What became of a stop."""

    # Settled by the mark.
    STOPPED = "stopped"
    # Recorded, and not settled within the bound.
    UNSETTLED = "unsettled"
    ALREADY_ENDED = "already_ended"
    # Nothing was live in what it was asked for.
    NOTHING_LIVE = "nothing_live"
    UNKNOWN = "unknown"
    # Somebody else's; whoever asked was told `unknown`.
    FOREIGN = "foreign"
    # No operator.
    FORBIDDEN = "forbidden"
    # Redis lost the job, or it has expired meanwhile.
    GONE = "gone"
    # A broadcast is over; its progress says how far it got.
    DONE = "done"


class Asker(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asks for a stop, and from where."""

    principal: Principal | None
    role: Role
    door: Door
    # The client's address and the beginning of its user agent, where it has any.
    address: str = ""
    agent: str = ""
    # The trace that the ask was part of, where the client sent its context; of a broadcast, its own.
    trace: TraceContext = NO_TRACE

    @property
    def by(self) -> str:
        """Return the word that the stopped response carries."""
        return "andon" if self.role is Role.ANDON or self.principal is None else self.principal.subject

    @property
    def owner(self) -> Principal | None:
        """Return whose jobs the stop is bound to; None: anybody's, for an operator or Andon itself."""
        return None if self.role is Role.OPERATOR else self.principal


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry. Times are Unix seconds: `at` on the clock of whoever wrote it, the others as in a stop's receipt."""

    id: AuditId
    step: Step
    at: float
    asker: Asker
    # The gateway or worker that was asked.
    process: str
    # Whom it concerns: the tenant whose operators may read it; empty: no single one.
    tenant: str
    response_id: ResponseId | None = None
    response_ids: tuple[ResponseId, ...] = ()
    # How many responses it was asked for, where more than are listed.
    count: int = 0
    session: str | None = None
    scope: dict[str, Any] | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    status: str | None = None
    recorded: float | None = None
    replicated: float | bool | None = None
    acked: float | None = None
    upstream_closed: float | None = None
    settled: float | None = None
    progress: dict[str, Any] | None = None

    def is_about(self, response_id: str) -> bool:
        """Tell whether it names this response."""
        return self.response_id == response_id or response_id in self.response_ids


def new_audit_id() -> AuditId:
    """Name one ask."""
    return AuditId("aud_" + secrets.token_hex(10))


def with_receipt(entry: Entry, receipt: StopReceipt) -> Entry:
    """Tell how far a stop got."""
    return msgspec.structs.replace(
        entry,
        response_id=receipt.response_id,
        status=receipt.status,
        recorded=receipt.recorded,
        replicated=receipt.replicated,
        acked=receipt.acked,
        upstream_closed=receipt.upstream_closed,
        settled=receipt.settled,
    )


def writing(entry: Entry, max_entries: int) -> list[tuple[str | bytes | int, ...]]:
    """Return the commands that write an entry. Approximate trims cost nothing beside the write itself."""
    return [
        ("XADD", keys.AUDIT, "MAXLEN", "~", max_entries, "*", "tenant", entry.tenant, "entry", encode_entry(entry)),
        ("EXPIRE", keys.AUDIT, KEEP_S),
    ]


def encode_entry(entry: Entry) -> bytes:
    """Write an entry as JSON, without a line break."""
    return msgspec.json.encode(entry)


def trim(database: Database) -> Awaitable[Any]:
    """Drop what is older than it is kept."""
    return database.call("XTRIM", keys.AUDIT, "MINID", "~", int((time.time() - KEEP_S) * 1000))


class AuditReader:
    """Reads the stream."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, after: str, before: str, *, tenant: str | None) -> AsyncIterator[tuple[str, Entry | None]]:
        """Read from `after` (exclusive) to `before` (inclusive), oldest first: place in the stream, and entry.

        `tenant`: of this one only; what is another's is told as None, so that a page's bound counts it. Raises
        StoreUnavailable.
        """
        start = f"({after}" if after != "-" else "-"
        while rows := await self._database.call("XRANGE", keys.AUDIT, start, before, "COUNT", _PAGE):
            for place, fields in rows:
                is_theirs = tenant is None or fields[1] == tenant.encode()
                yield place.decode(), parse_entry(fields[3]) if is_theirs else None
            start = f"({rows[-1][0].decode()}"

    async def last(self) -> str:
        """Return the place of the newest entry; `0-0` where there is none."""
        rows = await self._database.call("XREVRANGE", keys.AUDIT, "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0-0"


def parse_entry(text: bytes) -> Entry:
    """Read an entry as it was written; raises ContractError for anything else."""
    try:
        return msgspec.json.decode(text, type=Entry)
    except msgspec.MsgspecError as error:
        raise ContractError(f"a foreign entry in the audit: {text[:80]!r}") from error
