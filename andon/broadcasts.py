"""Broadcasts: the records of stops by scope.

Owns the record of each (what, by whom, when on Redis' clock, how far), the index of them, and the lease by which one
gateway at a time runs one. Does not own the running (`gateway.admin.runner`). Guarantees: a record is written whole
before anything is stopped, also in a full Redis, so that any gateway can finish what another began; all keys share one
slot, for the index must never miss a record.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NewType

import msgspec

from andon import keys
from andon.audit import Asker
from andon.database import Database
from andon.frames import encode
from andon.ids import ResponseId
from andon.replies import tag_as
from andon.script import script

BroadcastId = NewType("BroadcastId", str)

KEEP_MS: Final = 7 * 86400 * 1000
# A record is read by its fields in this order.
_FIELDS: Final = ("state", "asked_at", "scope", "asker", "reason", "tenant", "progress", "ended_at", "runner")


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a broadcast is to stop; what is given must hold together. Empty: nothing but `all` says so."""

    response_id: str | None = None
    # A tag; a name where tenant and subject are given too.
    session: str | None = None
    tenant: str | None = None
    subject: str | None = None
    model: str | None = None
    all: bool = False


class Advance(msgspec.Struct, frozen=True):
    """How far a broadcast got, in responses. Those that no model was asked for have no upstream to close."""

    matched: int = 0
    recorded: int = 0
    acked: int = 0
    upstream_closed: int = 0
    settled: int = 0
    # Ended by themselves before their stop was recorded.
    already_ended: int = 0
    # Could not be recorded at the last try; they are tried again.
    failed: int = 0
    # From the ask to the last upstream closed, and to the last response settled; null before there is one.
    upstream_closed_s: float | None = None
    settled_s: float | None = None


class State(StrEnum):
    """Where a broadcast stands."""

    RUNNING = "running"
    # Everything in its scope is settled.
    DONE = "done"
    # The bound is over with something unsettled; all that was recorded is marked, and ends by its mark.
    UNSETTLED = "unsettled"


class Broadcast(msgspec.Struct, frozen=True):
    """One record. Times are Unix seconds on Redis' clock."""

    id: BroadcastId
    state: State
    asked_at: float
    scope: Scope
    asker: Asker
    reason: str | None
    # The one tenant that it is bound to; None: none.
    within: str | None
    advance: Advance
    ended_at: float | None
    runner: str | None


class Made(StrEnum):
    """What became of an ask."""

    MADE = "made"
    KNOWN = "known"
    CONFLICT = "conflict"


class Tended(StrEnum):
    """Whether a broadcast is ours to run."""

    OURS = "ours"
    HELD = "held"
    ENDED = "ended"
    GONE = "gone"


class Broadcasts:
    """The records. Every method may raise StoreUnavailable, and may be repeated."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._lease_ms = int(lease_s * 1000)

    async def make(
        self,
        broadcast_id: BroadcastId,
        scope: Scope,
        asker: Asker,
        *,
        reason: str | None,
        within: str | None,
        digest: str,
    ) -> Made:
        """Write the record; it is asked for from this moment on."""
        reply = await self._database.eval(
            script("broadcast"),
            [keys.broadcast(broadcast_id), keys.BROADCASTS, keys.RUNNING_BROADCASTS],
            [broadcast_id, digest, encode(scope), encode(asker), encode(reason), within or "", KEEP_MS],
        )
        return tag_as(Made, reply)

    async def tend(
        self,
        broadcast_id: BroadcastId,
        runner: str,
        *,
        advance: Advance | None = None,
        final: State | None = None,
        targets: Sequence[ResponseId] = (),
    ) -> Tended:
        """Take or keep the lease; write how far it got, and what is about to be stopped (500 at most)."""
        reply = await self._database.eval(
            script("tend"),
            [keys.broadcast(broadcast_id), keys.RUNNING_BROADCASTS, keys.broadcast_targets(broadcast_id)],
            [
                broadcast_id,
                runner,
                self._lease_ms,
                "" if advance is None else encode(advance),
                final or "",
                KEEP_MS,
                *targets,
            ],
        )
        return tag_as(Tended, reply)

    async def read(self, broadcast_id: BroadcastId) -> Broadcast | None:
        """Read one record; None if there is none."""
        (found,) = await self._read([broadcast_id])
        return found

    async def recent(self, count: int) -> list[Broadcast]:
        """Read the newest records, newest first."""
        ids = await self._database.call("ZREVRANGE", keys.BROADCASTS, 0, count - 1)
        found = await self._read([BroadcastId(member.decode()) for member in ids])
        return [broadcast for broadcast in found if broadcast is not None]

    async def running(self) -> list[BroadcastId]:
        """List those that are not over."""
        members = await self._database.call("SMEMBERS", keys.RUNNING_BROADCASTS)
        return [BroadcastId(member.decode()) for member in members]

    async def targets(self, broadcast_id: BroadcastId) -> list[ResponseId]:
        """List what a broadcast was about to stop, whoever ran it."""
        members = await self._database.call("SMEMBERS", keys.broadcast_targets(broadcast_id))
        return [ResponseId(member.decode()) for member in members]

    async def _read(self, ids: list[BroadcastId]) -> list[Broadcast | None]:
        replies = [self._database.call("HMGET", keys.broadcast(each), *_FIELDS) for each in ids]
        return [_parse(each, await reply) for each, reply in zip(ids, replies, strict=True)]


def _parse(broadcast_id: BroadcastId, fields: list[bytes | None]) -> Broadcast | None:
    state, asked_at, scope, asker, reason, tenant, progress, ended_at, runner = fields
    if state is None or asked_at is None or scope is None or asker is None:
        return None
    return Broadcast(
        id=broadcast_id,
        state=State(state.decode()),
        asked_at=float(asked_at),
        scope=msgspec.json.decode(scope, type=Scope),
        asker=msgspec.json.decode(asker, type=Asker),
        reason=msgspec.json.decode(reason or b"null", type=str | None),
        within=tenant.decode() if tenant else None,
        advance=msgspec.json.decode(progress, type=Advance) if progress else Advance(),
        ended_at=float(ended_at) if ended_at else None,
        runner=runner.decode() if runner else None,
    )
