"""Reads: what of sessions and jobs is read without changing anything.

Owns the reading of job hashes, logs, live sets and presences. Every method may be repeated; cancelling is safe.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from andon import keys
from andon.database import Database
from andon.frames import decode
from andon.ids import Principal, ResponseId, SessionName, SessionTag, WorkerId
from andon.replies import Fate, JobView, Outcome, StopOutcome, StopReceipt, Written, parse_stop, time_of
from andon.response import Status
from andon.script import script
from andon.shared_read import SharedReads
from andon.tracing import TraceContext
from andon.turns import parse_turn

# A slice of a log: what a slow socket may hold beyond its outbox's bound is about this much, or one frame.
SLICE_FRAMES: Final = 256
SLICE_BYTES: Final = 128 * 1024
_FATE_FIELDS: Final = ("tenant", "subject", "stop_at", "acked_at", "upstream_closed_at", "settled_at", "status")


class Reads:
    """The reading half of the store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._slices = SharedReads(self._slice)

    async def job(self, rid: ResponseId) -> JobView | None:
        """Read the job hash; None if there is none (expired, unknown, lost)."""
        flat = await self.database.call("HGETALL", keys.job(rid))
        if not flat:
            return None
        fields: dict[str, bytes] = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        mark, status, last = fields.get("stop_json"), fields.get("status"), fields.get("last")
        return JobView(
            response_id=rid,
            state=fields["state"].decode(),
            generation=int(fields["gen"]),
            owner=WorkerId(fields["owner"].decode()),
            tenant=fields["tenant"].decode(),
            subject=fields["subject"].decode(),
            session=SessionName(fields["session"].decode()),
            lane=fields["lane"].decode(),
            abandon_s=float(fields["abandon_s"]),
            envelope=fields["envelope"],
            base=fields["base"],
            record=fields["record"],
            request=fields.get("request"),
            queued_at=time_of(fields.get("queued_at")),
            deadline_at=time_of(fields.get("deadline_at")),
            stop=parse_stop(mark) if mark else None,
            acked_at=time_of(fields.get("acked_at")),
            upstream_closed_at=time_of(fields.get("upstream_closed_at")),
            settled_at=time_of(fields.get("settled_at")),
            status=Status(status.decode()) if status else None,
            last=int(last) if last else None,
            trace=TraceContext(fields.get("trace", b"").decode()),
        )

    async def chain_after(self, rid: ResponseId) -> tuple[ResponseId, ...] | None:
        """Return the turns that a response following this one has before it; None if this one is no stored turn.

        A response that is still live counts: the next one of its lane may follow it before it has ended.
        """
        stored, live = (
            self.database.call("GET", keys.turn(rid)),
            self.database.call("HMGET", keys.job(rid), "state", "chain", "is_stored"),
        )
        turn, (state, chain, is_stored) = await stored, await live
        if turn is not None:
            return (*parse_turn(turn).chain, rid)
        if state not in {None, b"ended"} and is_stored == b"1":
            return (*(ResponseId(earlier) for earlier in decode(chain)), rid)
        return None

    async def exists(self, rid: ResponseId) -> bool:
        """Tell whether the job is there: neither expired nor lost."""
        return bool(await self.database.call("EXISTS", keys.job(rid)))

    async def holds(self, rid: ResponseId, length: int) -> bool:
        """Tell whether the job is there, neither expired nor lost, and did not end with fewer events than these.

        It does where a failover lost the end of its log, and what was left was ended.
        """
        state, last = await self.database.call("HMGET", keys.job(rid), "state", "last")
        return state is not None and (last is None or int(last) >= length)

    async def progress(self, rid: ResponseId) -> StopReceipt:
        """Read how far the stop of a job has got."""
        (fate,) = await self.fates([rid])
        return StopReceipt(rid, StopOutcome.UNKNOWN) if fate is None else fate.receipt

    async def fates(self, ids: Sequence[ResponseId]) -> list[Fate | None]:
        """Read how far the stops of these jobs have got, in one write; None for a job that is not there."""
        replies = [self.database.call("HMGET", keys.job(rid), *_FATE_FIELDS) for rid in ids]
        return [_fate(rid, await reply) for rid, reply in zip(ids, replies, strict=True)]

    async def log_slice(self, rid: ResponseId, first: int, last: int) -> list[bytes]:
        """Read frames by number, both ends included; `last` -1: to the end."""
        frames: list[bytes] = await self.database.call("LRANGE", keys.log(rid), first, last)
        return frames

    async def log_from(self, rid: ResponseId, first: int) -> list[bytes]:
        """Read frames from a number on, as many as fit into a slice; none at the end of the log.

        A batch that is too large to be published is wanted by everybody who follows it, at the same moment: it is
        read once, and they hold the same bytes.
        """
        return await self._slices.read((rid, first))

    async def _slice(self, of: tuple[ResponseId, int]) -> list[bytes]:
        rid, first = of
        frames: list[bytes] = await self.database.eval(
            script("slice"), [keys.log(rid)], [first, SLICE_FRAMES, SLICE_BYTES]
        )
        return frames

    async def session_name(self, tag: SessionTag, principal: Principal) -> SessionName | None:
        """Return what the session of this tag is called; None if this principal has no such session."""
        tenant, subject, name = await self.database.call("HMGET", keys.session(tag), "tenant", "subject", "session")
        is_theirs = (tenant, subject) == (principal.tenant.encode(), principal.subject.encode())
        return SessionName(name.decode()) if is_theirs and name is not None else None

    async def length(self, rid: ResponseId) -> Outcome:
        """Read the length of the log; `gone` where there is none."""
        length = int(await self.database.call("LLEN", keys.log(rid)))
        return Outcome(Written.OK, length=length) if length else Outcome(Written.GONE)

    async def live(self, tag: SessionTag) -> list[ResponseId]:
        """List the session's responses that have not ended."""
        members = await self.database.call("SMEMBERS", keys.live(tag))
        return [ResponseId(member.decode()) for member in members]

    async def are_present(self, ids: list[ResponseId]) -> list[bool]:
        """Tell for each response whether anybody was attached within half of its abandon time."""
        return [
            bool(reply) for reply in await asyncio.gather(*(self.database.call("EXISTS", keys.seen(r)) for r in ids))
        ]


def _fate(rid: ResponseId, fields: list[bytes | None]) -> Fate | None:
    tenant, subject, recorded, acked, closed, settled, status = fields
    if tenant is None or subject is None:
        return None
    receipt = StopReceipt(
        rid,
        StopOutcome.RECORDED,
        recorded=time_of(recorded),
        acked=time_of(acked),
        upstream_closed=time_of(closed),
        settled=time_of(settled),
        status=Status(status.decode()) if status else None,
    )
    return Fate(receipt, tenant.decode(), subject.decode())
