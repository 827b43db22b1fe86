"""Store: the typed door to the scripts of a job's life.

Owns which keys and arguments each script gets, and what its tagged reply means. Does no policy: it neither retries
nor decides. Every method may be repeated after StoreUnavailable, because every script answers a repeat without
changing anything. Cancelling the wait of any method is safe; the script may run all the same.
"""

import asyncio
import time
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import msgspec

from andon import keys
from andon.database import Database
from andon.errors import ContractError
from andon.frames import decode, encode
from andon.ids import Principal, ResponseId, SessionName, SessionTag, WorkerId, tag_of
from andon.lease import KEYS_TTL_MS
from andon.link import Argument
from andon.pieces import Cause, Failure
from andon.replication import Replication
from andon.response import Status, Stop, error_object
from andon.script import script
from andon.settings import Settings
from andon.shared_read import SharedReads
from andon.turns import Turn, parse_turn

# A slice of a log: what a slow socket may hold beyond its outbox's bound is about this much, or one frame.
SLICE_FRAMES: Final = 256
SLICE_BYTES: Final = 128 * 1024
MOST_WAITING_IN_LANE: Final = 16
# Why a stop was asked for that nobody asked for.
ABANDONED: Final = "abandoned"
OUTBOX_TTL_S: Final = 7 * 86400  # as long as a settlement is kept: an unshipped record must outlive any outage

_QUEUE_TIMEOUT: Final = encode(
    error_object(
        Failure(
            "server_error",
            Cause.QUEUE_TIMEOUT,
            "No worker took this response in time. Create it again later, or raise ANDON_QUEUE_TTL_S.",
        )
    )
)

_E = TypeVar("_E", bound=StrEnum)


class Submission(msgspec.Struct, frozen=True):
    """What the submit writes: the accepted request and the texts that every later frame is joined from."""

    response_id: ResponseId
    principal: Principal
    session: SessionName
    # `socket/stream_id`, or '' where there is no lane (HTTP).
    lane: str
    envelope: bytes
    base: bytes
    request: bytes
    record: bytes
    # The turns before it, oldest first.
    chain: tuple[ResponseId, ...] = ()
    is_stored: bool = True
    # The client's own id of the create, and a digest of what it asked for: a repeat is known by them.
    event_id: str | None = None
    digest: str = ""
    # Seconds without anybody attached until it is stopped; 0: never.
    abandon_s: float = 0


class Submitted(StrEnum):
    """What became of a submission."""

    QUEUED = "queued"
    WAITING = "waiting"
    DUPLICATE = "duplicate"
    LANE_FULL = "lane_full"
    FOREIGN = "foreign"
    KNOWN = "known"
    CONFLICT = "conflict"


class Submittal(msgspec.Struct, frozen=True):
    """The answer to a submission. `response_id`: the response that it is about, for a known create the earlier one."""

    tag: Submitted
    response_id: ResponseId


class Claimed(msgspec.Struct, frozen=True):
    """A job, and the right of one worker to write it: (worker id, generation)."""

    response_id: ResponseId
    worker_id: WorkerId
    generation: int
    next_number: int
    request: bytes
    envelope: bytes
    base: bytes
    record: bytes
    earlier_claims: int
    chain: tuple[ResponseId, ...] = ()
    abandon_s: float = 0

    @property
    def tag(self) -> SessionTag:
        """Return the tag of the job's session."""
        return tag_of(self.response_id)


class Refused(StrEnum):
    """Why a claim was refused. Only a job that is gone may still appear: its queue entry is written first."""

    GONE = "gone"
    WAITING = "waiting"
    TAKEN = "taken"
    ENDED = "ended"
    STOPPED = "stopped"
    EXPIRED = "expired"


class Written(StrEnum):
    """What became of an append, a settlement, a requeue, a look or an ack."""

    OK = "ok"
    DUPLICATE = "duplicate"
    STOPPED = "stopped"
    GAP = "gap"
    FENCED = "fenced"
    GONE = "gone"
    SETTLED = "settled"
    ALREADY = "already"
    QUEUED = "queued"
    HAS_OUTPUT = "has_output"
    SPENT = "spent"
    ENDED = "ended"


class Outcome(msgspec.Struct, frozen=True):
    """A tagged reply with what it carries."""

    tag: Written
    # Length of the log: the next sequence number.
    length: int | None = None
    stop: Stop | None = None
    # The response of the same lane whose turn it is now.
    next_of_lane: ResponseId | None = None


class StopOutcome(StrEnum):
    """What a stop found."""

    RECORDED = "recorded"
    ALREADY_ENDED = "already_ended"
    UNKNOWN = "unknown"


class StopReceipt(msgspec.Struct, frozen=True):
    """How far a stop got. Times are Unix seconds on Redis' clock (acked and closed: on the worker's), or None."""

    response_id: ResponseId
    outcome: StopOutcome
    recorded: float | None = None
    # When enough replicas had it; False if they did not say so in time; None where there are no replicas.
    replicated: float | Literal[False] | None = None
    acked: float | None = None
    upstream_closed: float | None = None
    settled: float | None = None
    status: Status | None = None
    next_of_lane: ResponseId | None = None


class JobView(msgspec.Struct, frozen=True):
    """What the job hash says: read by gateways, rescuers and the sweep."""

    response_id: ResponseId
    state: str
    generation: int
    owner: WorkerId
    tenant: str
    subject: str
    session: SessionName
    lane: str
    abandon_s: float
    envelope: bytes
    base: bytes
    record: bytes
    request: bytes | None
    queued_at: float | None
    claimed_at: float | None
    stop: Stop | None
    acked_at: float | None
    upstream_closed_at: float | None
    settled_at: float | None
    status: Status | None
    # The sequence number of the terminal event, once ended.
    last: int | None

    def is_owned_by(self, principal: Principal) -> bool:
        """Tell whether this principal made the session."""
        return (self.tenant, self.subject) == (principal.tenant, principal.subject)


def parse_stop(mark: bytes) -> Stop:
    """Read a mark as the scripts wrote it."""
    return msgspec.json.decode(mark, type=Stop)


def _time(value: bytes | None) -> float | None:
    return float(value) if value else None


def _id(value: bytes) -> ResponseId | None:
    return ResponseId(value.decode()) if value else None


def _tag(kind: type[_E], reply: list[bytes]) -> _E:
    try:
        return kind(reply[0].decode())
    except (ValueError, IndexError, AttributeError) as error:
        raise ContractError(f"a script answered {reply!r}, which is no {kind.__name__}") from error


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def presence_ttl_s(abandon_s: float) -> float:
    """Return how long a presence lasts: half of the abandon time; the other half is counted by whoever misses it.

    So the clock starts anew after an outage in which presences could not be renewed.
    """
    return abandon_s / 2


class Store:
    """The scripts of a job's life, typed."""

    def __init__(self, database: Database, settings: Settings, replication: Replication | None = None) -> None:
        self.database = database
        self.settings = settings
        # What a stop waits for, where the server has replicas; workers have no use for it.
        self._replication = replication
        self._live_ttl_ms = _ms(settings.live_ttl_s)
        self._log_ttl_ms = _ms(settings.log_ttl_s)
        self._outbox_ttl_ms = _ms(OUTBOX_TTL_S)
        self._turn_ttl_ms = _ms(settings.session_ttl_s)
        self._slices = SharedReads(self._slice)

    # ── gateway ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, submission: Submission, *, instead_of: ResponseId | None = None) -> Submittal:
        """Accept a response: hints first (index, queue), then the session's script, in one write.

        `instead_of`: what this event id created before, and is gone.
        """
        rid = submission.response_id
        tag = tag_of(rid)
        hints = [*self._index(tag), *self._enqueue(rid)]
        reply = self.database.eval(
            script("submit"),
            [
                keys.job(rid),
                keys.log(rid),
                keys.session(tag),
                keys.live(tag),
                keys.lanes(tag),
                keys.seen(rid),
                keys.job(rid) if submission.event_id is None else keys.creation(tag, submission.event_id),
            ],
            [
                rid,
                submission.principal.tenant,
                submission.principal.subject,
                submission.session,
                encode(submission.session),
                submission.lane,
                MOST_WAITING_IN_LANE,
                self._live_ttl_ms,
                _ms(max(self.settings.session_ttl_s, self.settings.live_ttl_s)),
                submission.envelope,
                submission.base,
                submission.request,
                submission.record,
                keys.events(tag),
                encode(submission.chain),
                int(submission.is_stored),
                submission.digest if submission.event_id is not None else "",
                instead_of or "",
                _ms(presence_ttl_s(submission.abandon_s)),
                submission.abandon_s,
            ],
        )
        for hint in hints:
            await hint
        answer = await reply
        tagged = _tag(Submitted, answer)
        is_about_another = tagged in {Submitted.KNOWN, Submitted.CONFLICT}
        return Submittal(tagged, ResponseId(answer[1].decode()) if is_about_another else rid)

    async def stop(self, rid: ResponseId, principal: Principal | None, *, by: str, reason: str | None) -> StopReceipt:
        """Mark a job and publish the hint; settle it if nobody has it. `principal` None: an operator, anybody's job.

        A response whose lane this freed is given its turn before this returns.
        """
        args: list[Argument] = [
            rid,
            principal.tenant if principal else "",
            principal.subject if principal else "",
            encode(by),
            encode(reason),
            self._log_ttl_ms,
            self._outbox_ttl_ms,
            keys.events(tag_of(rid)),
            self._turn_ttl_ms,
        ]
        replicated: float | Literal[False] | None = None
        if self._replication is not None and self._replication.replicas:
            reply, replicated = await self._replication.eval(script("stop"), self._ending_keys(rid), args)
        else:
            reply = await self.database.eval(script("stop"), self._ending_keys(rid), args)
        outcome = _tag(StopOutcome, reply)
        if outcome is StopOutcome.UNKNOWN:
            return StopReceipt(rid, outcome)
        if outcome is StopOutcome.ALREADY_ENDED:
            return StopReceipt(rid, outcome, status=Status(reply[1].decode()))
        recorded, acked, closed, settled = map(_time, reply[1:5])
        receipt = StopReceipt(
            rid,
            outcome,
            recorded=recorded,
            replicated=replicated,
            acked=acked,
            upstream_closed=closed,
            settled=settled,
            next_of_lane=_id(reply[7]),
        )
        await self._give_turn(receipt.next_of_lane)
        return receipt

    async def promote(self, rid: ResponseId) -> bool:
        """Give a waiting response its turn: into the queue first, then the session's script."""
        tag = tag_of(rid)
        hints = self._enqueue(rid)
        reply = self.database.eval(
            script("promote"),
            [keys.job(rid), keys.log(rid), keys.lanes(tag)],
            [rid, self._live_ttl_ms, keys.events(tag)],
        )
        for hint in hints:
            await hint
        return bool((await reply)[0] == b"queued")

    async def expire(self, rid: ResponseId) -> None:
        """End a queued job that no worker took in time; leave any other alone."""
        reply = await self.database.eval(
            script("expire"),
            self._ending_keys(rid),
            [
                rid,
                self._log_ttl_ms,
                self._outbox_ttl_ms,
                self.settings.queue_ttl_s,
                _QUEUE_TIMEOUT,
                keys.events(tag_of(rid)),
                self._turn_ttl_ms,
            ],
        )
        if len(reply) > 1:
            await self._give_turn(_id(reply[1]))

    async def enqueue(self, rid: ResponseId) -> None:
        """Write a queue entry for a job that lost its own."""
        for hint in self._enqueue(rid):
            await hint

    async def renew(self, rid: ResponseId) -> None:
        """Renew the keys of a job that waits for its lane: no worker does it."""
        await self.database.call("PEXPIRE", keys.job(rid), self._live_ttl_ms)

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
            queued_at=_time(fields.get("queued_at")),
            claimed_at=_time(fields.get("claimed_at")),
            stop=parse_stop(mark) if mark else None,
            acked_at=_time(fields.get("acked_at")),
            upstream_closed_at=_time(fields.get("upstream_closed_at")),
            settled_at=_time(fields.get("settled_at")),
            status=Status(status.decode()) if status else None,
            last=int(last) if last else None,
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

    async def present(self, ids: dict[ResponseId, float]) -> None:
        """Say that somebody is attached to these responses (id to the seconds of its abandonment)."""
        said = [
            self.database.call("SET", keys.seen(rid), "1", "PX", _ms(presence_ttl_s(abandon_s)))
            for rid, abandon_s in ids.items()
        ]
        for reply in said:
            await reply

    async def are_present(self, ids: list[ResponseId]) -> list[bool]:
        """Tell for each response whether anybody was attached within half of its abandon time."""
        return [
            bool(reply) for reply in await asyncio.gather(*(self.database.call("EXISTS", keys.seen(r)) for r in ids))
        ]

    async def missing_for_s(self, job: JobView) -> float:
        """Return for how long sweeps have missed a job's presence, counted from the first that did."""
        ttl_ms = _ms(2 * job.abandon_s)
        name = keys.unseen(job.response_id)
        first = self.database.call("SET", name, f"{time.time():.3f}", "NX", "GET", "PX", ttl_ms)
        since = await first
        return time.time() - float(since) if since else 0.0

    async def seen_again(self, rid: ResponseId) -> None:
        """Forget that a job's presence was missed."""
        await self.database.call("DEL", keys.unseen(rid))

    async def turns(self, ids: tuple[ResponseId, ...]) -> list[Turn] | None:
        """Read stored turns of one session and renew them; None if any has expired."""
        if not ids:
            return []
        names = [keys.turn(rid) for rid in ids]
        stored = self.database.call("MGET", *names)
        renewed = [self.database.call("PEXPIRE", name, self._turn_ttl_ms) for name in names]
        turns = await stored
        for renewal in renewed:
            await renewal
        return None if None in turns else [parse_turn(turn) for turn in turns]

    async def exists(self, rid: ResponseId) -> bool:
        """Tell whether the job is there: neither expired nor lost."""
        return bool(await self.database.call("EXISTS", keys.job(rid)))

    async def progress(self, rid: ResponseId) -> StopReceipt:
        """Read how far the stop of a job has got."""
        fields = ("state", "stop_at", "acked_at", "upstream_closed_at", "settled_at", "status")
        state, recorded, acked, closed, settled, status = await self.database.call("HMGET", keys.job(rid), *fields)
        if state is None:
            return StopReceipt(rid, StopOutcome.UNKNOWN)
        return StopReceipt(
            rid,
            StopOutcome.RECORDED,
            recorded=_time(recorded),
            acked=_time(acked),
            upstream_closed=_time(closed),
            settled=_time(settled),
            status=Status(status.decode()) if status else None,
        )

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

    # ── worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def claim(self, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
        """Become the owner of a queued job. The worker's job set is written first, so that it is a superset."""
        hints = [
            self.database.call("SADD", keys.worker_jobs(worker_id), rid),
            # A worker that dies before its next beat must not leave the set for ever.
            self.database.call("PEXPIRE", keys.worker_jobs(worker_id), KEYS_TTL_MS),
        ]
        reply = self.database.eval(
            script("claim"),
            self._ending_keys(rid),
            [
                rid,
                worker_id,
                self._live_ttl_ms,
                self._log_ttl_ms,
                self._outbox_ttl_ms,
                self.settings.queue_ttl_s,
                _QUEUE_TIMEOUT,
                keys.events(tag_of(rid)),
                self._turn_ttl_ms,
            ],
        )
        for hint in hints:
            await hint
        answer = await reply
        if answer[0] != b"claimed":
            refused = _tag(Refused, answer)
            if refused in {Refused.STOPPED, Refused.EXPIRED}:
                await self._give_turn(_id(answer[1]))
            return refused
        _, generation, length, request, envelope, base, record, earlier, chain, abandon_s = answer
        return Claimed(
            rid,
            worker_id,
            int(generation),
            int(length),
            request,
            envelope,
            base,
            record,
            int(earlier),
            tuple(decode(chain)),
            float(abandon_s),
        )

    async def append(self, job: Claimed, first: int, frames: list[bytes], *, renew: bool) -> Outcome:
        """Log frames numbered from `first` and publish them. `renew`: renew the keys' time to live as well."""
        rid = job.response_id
        reply = await self.database.eval(
            script("append"),
            [keys.job(rid), keys.log(rid)],
            [
                rid,
                job.worker_id,
                job.generation,
                first,
                self._live_ttl_ms if renew else 0,
                keys.events(job.tag),
                *frames,
            ],
        )
        return _outcome(reply)

    async def settle(
        self,
        job: Claimed,
        first: int,
        frames: list[bytes],
        *,
        status: Status,
        settlement: dict[str, Any],
        output: list[dict[str, Any]],
        acked_at: float | None,
        upstream_closed_at: float | None,
    ) -> Outcome:
        """Write the one ending. A response whose lane this freed is given its turn before this returns."""
        args: list[Argument] = [
            job.response_id,
            job.worker_id,
            job.generation,
            first,
            status,
            "" if acked_at is None else f"{acked_at:.6f}",
            "" if upstream_closed_at is None else f"{upstream_closed_at:.6f}",
            b"," + encode(settlement)[1:-1],
            self._log_ttl_ms,
            self._outbox_ttl_ms,
            keys.events(job.tag),
            self._turn_ttl_ms,
            encode(output),
            *frames,
        ]
        reply = await self.database.eval(script("settle"), self._ending_keys(job.response_id), args)
        outcome = _outcome(reply)
        await self._give_turn(outcome.next_of_lane)
        return outcome

    async def requeue(self, job: Claimed, *, usage: bytes = b"") -> Outcome:
        """Put a job that has no output back into the queue, or settle it if it is marked.

        `usage` (JSON) is what its claim has cost so far; empty if no request was made.
        """
        rid = job.response_id
        hints = self._enqueue(rid)
        reply = self.database.eval(
            script("requeue"),
            self._ending_keys(rid),
            [
                rid,
                job.worker_id,
                job.generation,
                self.settings.max_attempts,
                usage,
                self._live_ttl_ms,
                self._log_ttl_ms,
                self._outbox_ttl_ms,
                keys.events(job.tag),
                self._turn_ttl_ms,
            ],
        )
        for hint in hints:
            await hint
        outcome = _outcome(await reply)
        await self._give_turn(outcome.next_of_lane)
        return outcome

    async def look(self, job: Claimed) -> Outcome:
        """Read the mark of a silent job and renew its keys."""
        rid = job.response_id
        reply = await self.database.eval(
            script("look"), [keys.job(rid), keys.log(rid)], [job.worker_id, job.generation, self._live_ttl_ms]
        )
        return _outcome(reply)

    async def ack(self, job: Claimed, *, acked_at: float, upstream_closed_at: float | None) -> Outcome:
        """Say that a stop was heard, where its settlement takes longer."""
        closed = "" if upstream_closed_at is None else f"{upstream_closed_at:.6f}"
        reply = await self.database.eval(
            script("ack"), [keys.job(job.response_id)], [job.worker_id, job.generation, f"{acked_at:.6f}", closed]
        )
        return _outcome(reply)

    async def forget(self, worker_id: WorkerId, rid: ResponseId) -> None:
        """Take an ended job out of the worker's job set."""
        await self.database.call("SREM", keys.worker_jobs(worker_id), rid)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _ending_keys(self, rid: ResponseId) -> list[str]:
        tag = tag_of(rid)
        return [keys.job(rid), keys.log(rid), keys.live(tag), keys.lanes(tag), keys.outbox(tag), keys.turn(rid)]

    def _index(self, tag: SessionTag) -> list[Any]:
        return [
            # The score tells the sweep that a submit may be under way.
            self.database.call("ZADD", keys.SESSIONS, int(time.time()), tag),
            self.database.call("PEXPIRE", keys.SESSIONS, self._live_ttl_ms + _ms(86400)),
        ]

    def _enqueue(self, rid: ResponseId) -> list[Any]:
        return [
            self.database.call("XADD", keys.QUEUE, "*", "job", rid),
            self.database.call("PEXPIRE", keys.QUEUE, self._live_ttl_ms),
        ]

    async def _give_turn(self, rid: ResponseId | None) -> None:
        if rid is not None:
            await self.promote(rid)


def _outcome(reply: list[bytes]) -> Outcome:
    tag = _tag(Written, reply)
    match tag:
        case Written.OK if len(reply) > 1:
            return Outcome(tag, length=int(reply[1]))
        case Written.DUPLICATE | Written.GAP | Written.HAS_OUTPUT:
            return Outcome(tag, length=int(reply[1]))
        case Written.STOPPED if len(reply) > 2:  # noqa: PLR2004  tag, length, mark
            return Outcome(tag, length=int(reply[1]), stop=parse_stop(reply[2]))
        case Written.STOPPED if reply[1][:1] == b"{":
            return Outcome(tag, stop=parse_stop(reply[1]))
        case Written.STOPPED | Written.SETTLED:
            return Outcome(tag, next_of_lane=_id(reply[1]))
        case _:
            return Outcome(tag)
