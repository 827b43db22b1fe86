"""Rows: what is live, as operators see it.

Owns the reading of it: the index of sessions, their live sets, and of each job's hash only the fields that a row
shows; nothing of a request or an answer. The index is a superset, so nothing that is live is missing; what ended while
it was read is left out. Reads are pipelined, a few hundred at once. All of it, for R live responses in S sessions of
the index and W workers, is about S/500 + S + R + 2W + 2 commands.
"""

from collections.abc import Awaitable, Iterable
from typing import Any, Final

import msgspec

from andon import keys
from andon.database import Database
from andon.ids import ResponseId, SessionTag, tag_of
from andon.lease import Leases, Standing
from andon.progress import Pace, Progress
from andon.replies import parse_stop, time_of
from andon.response import Stop

_AT_ONCE: Final = 500
_FIELDS: Final = ("state", "owner", "gen", "tenant", "subject", "session", "submitted_at", "stop_json", "record")


class Row(msgspec.Struct, frozen=True):
    """One live response. `created_at`: Unix seconds on Redis' clock; `tokens`: so far, late by a beat."""

    id: ResponseId
    session_tag: SessionTag
    session: str
    tenant: str
    subject: str
    model: str
    # `waiting` for its lane, `queued` for a worker, or `running`.
    state: str
    worker: str | None
    host: str | None
    created_at: float
    generation: int
    stop: Stop | None
    tokens: int = 0
    tokens_per_s: float = 0.0

    def is_like(self, other: "Row") -> bool:
        """Tell whether nothing but its tokens differs. What is not compared never changes."""
        return (self.state, self.worker, self.generation, self.stop, self.host) == (
            other.state,
            other.worker,
            other.generation,
            other.stop,
            other.host,
        )


class _Recorded(msgspec.Struct):
    model: str = ""


class Rows:
    """Reads rows. Every method may raise StoreUnavailable; cancelling is safe."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        self._progress = Progress(database)

    async def all(self, standings: list[Standing] | None = None) -> list[Row]:
        """Read everything that is live. `standings`: of the workers, if they are known already."""
        return await self._shown(await self._ids(await self._tags()), standings)

    async def of_session(self, tag: SessionTag) -> list[Row]:
        """Read what is live in one session."""
        return await self._shown(await self._ids([tag]), None)

    async def of_response(self, response_id: ResponseId) -> list[Row]:
        """Read one response, if it is live."""
        return await self._shown([response_id], None)

    async def bare(self, tag: SessionTag | None, response_id: ResponseId | None = None) -> list[Row]:
        """Read rows without hosts and tokens: of one response, of one session, or of all."""
        if response_id is not None:
            return await self._read([response_id], {}, {})
        return await self._read(await self._ids(await self._tags() if tag is None else [tag]), {}, {})

    async def _tags(self) -> list[SessionTag]:
        cursor, found = b"0", dict[SessionTag, None]()
        while True:
            cursor, members = await self._database.call("ZSCAN", keys.SESSIONS, cursor, "COUNT", _AT_ONCE)
            found.update((SessionTag(member.decode()), None) for member in members[::2])
            if cursor == b"0":
                return list(found)

    async def _ids(self, tags: list[SessionTag]) -> list[ResponseId]:
        members = await self._many(("SMEMBERS", keys.live(tag)) for tag in tags)
        return [ResponseId(member.decode()) for live in members for member in live]

    async def _shown(self, ids: list[ResponseId], standings: list[Standing] | None) -> list[Row]:
        workers = await self._leases.standings() if standings is None else standings
        paces = await self._progress.read([worker.id for worker in workers])
        return await self._read(ids, {worker.id: worker.about.host for worker in workers}, paces)

    async def _read(self, ids: list[ResponseId], hosts: dict[Any, str], paces: dict[ResponseId, Pace]) -> list[Row]:
        jobs = await self._many(("HMGET", keys.job(rid), *_FIELDS) for rid in ids)
        rows = (_row(rid, fields, hosts, paces.get(rid, (0, 0.0))) for rid, fields in zip(ids, jobs, strict=True))
        return [row for row in rows if row is not None]

    async def _many(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        """Run many commands, some hundreds in flight at once: others' commands come in between."""
        found: list[Any] = []
        in_flight: list[Awaitable[Any]] = []
        for command in commands:
            in_flight.append(self._database.call(*command))
            if len(in_flight) == _AT_ONCE:
                found += [await reply for reply in in_flight]
                in_flight = []
        return found + [await reply for reply in in_flight]


def _row(rid: ResponseId, fields: list[bytes | None], hosts: dict[Any, str], pace: Pace) -> Row | None:
    state, owner, generation, tenant, subject, session, submitted_at, mark, record = fields
    if state in {None, b"ended"}:
        return None  # it ended meanwhile, or Redis lost it
    assert state is not None
    worker = owner.decode() if owner and state == b"running" else None
    return Row(
        id=rid,
        session_tag=tag_of(rid),
        session=_text(session),
        tenant=_text(tenant),
        subject=_text(subject),
        model=msgspec.json.decode((record or b"{") + b"}", type=_Recorded).model,
        state=state.decode(),
        worker=worker,
        host=hosts.get(worker),
        created_at=time_of(submitted_at) or 0.0,
        generation=int(generation or 0),
        stop=parse_stop(mark) if mark else None,
        tokens=pace[0],
        tokens_per_s=pace[1],
    )


def _text(value: bytes | None) -> str:
    return value.decode() if value else ""
