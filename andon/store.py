"""Store: the typed door to the scripts of a job's life.

Owns which keys and arguments each script gets, and what its tagged reply means. Does no policy: it neither retries
nor decides. Every method may be repeated after StoreUnavailable, because every script answers a repeat without
changing anything. Cancelling the wait of any method is safe; the script may run all the same.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from andon import keys
from andon.appender import Appender
from andon.database import Database
from andon.frames import decode, encode
from andon.hearer import hear
from andon.ids import Principal, ResponseId, SessionTag, WorkerId, tag_of
from andon.lease import KEYS_TTL_MS
from andon.link import Argument
from andon.pieces import Cause, Failure
from andon.places import Places
from andon.reads import Reads
from andon.replication import Replication, Waiting
from andon.replies import (
    Claimed,
    JobView,
    Outcome,
    Refused,
    StopOutcome,
    StopReceipt,
    Submission,
    Submittal,
    Submitted,
    Written,
    id_of,
    outcome_of,
    tag_as,
    time_of,
    whose_of,
)
from andon.response import DEADLINE_EXCEEDED, Status, error_object
from andon.scopes import reach_of
from andon.script import script
from andon.settings import Settings
from andon.telemetry import SILENT, StopEnd, StopPath, Telemetry
from andon.turns import Turn, parse_turn

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
_DEADLINE_EXCEEDED: Final = encode(error_object(DEADLINE_EXCEEDED))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _append_keys(job: Claimed) -> list[str]:
    return [keys.job(job.response_id), keys.log(job.response_id)]


def _append_constants(job: Claimed) -> list[str | int]:
    """Return those of the append's arguments that a run never changes; they come first."""
    return [job.response_id, job.worker_id, job.generation, keys.events(job.tag)]


def _claimed(rid: ResponseId, worker_id: WorkerId, answer: list[Any]) -> Claimed:
    _, generation, length, request, envelope, base, record, earlier, chain, abandon_s, left_s, *whose = answer
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
        float(left_s) if left_s else None,
        whose_of(whose),
    )


def presence_ttl_s(abandon_s: float) -> float:
    """Return how long a presence lasts: half of the abandon time; the other half is counted by whoever misses it.

    So the clock starts anew after an outage in which presences could not be renewed.
    """
    return abandon_s / 2


def _longest_life_s(settings: Settings) -> float:
    """Return how long a response can live at the very most: last in its lane, each of them claimed in vain at first."""
    return (MOST_WAITING_IN_LANE + 1) * settings.max_attempts * settings.live_ttl_s


class Store(Reads):
    """The scripts of a job's life, typed."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        replication: Waiting | None = None,
        *,
        telemetry: Telemetry = SILENT,
    ) -> None:
        super().__init__(database)
        self.settings = settings
        # Told of stops and endings that scripts report here, and by whoever else holds this store.
        self.telemetry = telemetry
        # What a stop waits for, where the server has replicas; workers have no use for it.
        self._replication = replication
        # What may be live at once, and of whom.
        self.places = Places(database, settings, longest_life_s=_longest_life_s(settings))
        self._live_ttl_ms = _ms(settings.live_ttl_s)
        self._log_ttl_ms = _ms(settings.log_ttl_s)
        self._outbox_ttl_ms = _ms(OUTBOX_TTL_S)
        self._turn_ttl_ms = _ms(settings.session_ttl_s)
        self._session_ttl_ms = _ms(max(settings.session_ttl_s, settings.live_ttl_s))
        self._index_ttl_ms = self._live_ttl_ms + _ms(86400)

    # ── gateway ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(
        self,
        submission: Submission,
        *,
        instead_of: ResponseId | None = None,
        begun: "asyncio.Future[list[Any] | None] | None" = None,
    ) -> Submittal:
        """Accept a response: hints first (index, queue), then the session's script, in one write.

        `instead_of`: what this event id created before, and is gone. `begun`: it was sent by `begin_submit`.
        """
        rid = submission.response_id
        if begun is None and not self.database.is_spread:
            begun = self._submit_together(submission, instead_of)
        answers = None if begun is None else await begun
        answer = await self._submit_in_turn(submission, instead_of) if answers is None else answers[-1]
        tagged = tag_as(Submitted, answer)
        is_about_another = tagged in {Submitted.KNOWN, Submitted.CONFLICT}
        return Submittal(tagged, ResponseId(answer[1].decode()) if is_about_another else rid)

    def begin_submit(self, submission: Submission) -> "asyncio.Future[list[Any] | None] | None":
        """Send a submit within this call; `submit` is given the future, and tells the rest.

        None, and nothing is sent, where that takes several servers.
        """
        return None if self.database.is_spread else self._submit_together(submission, None)

    def _submit_together(
        self, submission: Submission, instead_of: ResponseId | None
    ) -> "asyncio.Future[list[Any] | None]":
        """Submit as one transaction, on one server. It brings None where a command was refused.

        So the worker that waits for the entry is told of it before the sockets of the session are told of the event.
        """
        tag = tag_of(submission.response_id)
        names = self._submit_keys(submission, tag)
        replies = self.database.together(
            [
                *self._index_commands(tag),
                *self._enqueue_commands(submission.response_id),
                ("EVALSHA", script("submit").sha, len(names), *names, *self._submit_args(submission, tag, instead_of)),
            ]
        )
        self.database.go()
        return replies

    async def _submit_in_turn(self, submission: Submission, instead_of: ResponseId | None) -> list[bytes]:
        """Submit with commands of their own, on whatever servers: the plain version, which says what fails."""
        tag = tag_of(submission.response_id)
        hints = [self.database.call(*command) for command in self._index_commands(tag)]
        hints += self._enqueue(submission.response_id)
        await self.database.first(hints)
        reply = self.database.eval(
            script("submit"), self._submit_keys(submission, tag), self._submit_args(submission, tag, instead_of)
        )
        self.database.go()
        for hint in hints:
            await hint
        answer: list[bytes] = await reply
        return answer

    @staticmethod
    def _submit_keys(submission: Submission, tag: SessionTag) -> list[str]:
        rid = submission.response_id
        job = keys.job(rid)
        return [
            job,
            keys.log(rid),
            keys.session(tag),
            keys.live(tag),
            keys.lanes(tag),
            keys.seen(rid),
            job if submission.event_id is None else keys.creation(tag, submission.event_id),
        ]

    def _submit_args(self, submission: Submission, tag: SessionTag, instead_of: ResponseId | None) -> list[Argument]:
        return [
            submission.response_id,
            submission.principal.tenant,
            submission.principal.subject,
            submission.session,
            encode(submission.session),
            submission.lane,
            MOST_WAITING_IN_LANE,
            self._live_ttl_ms,
            self._session_ttl_ms,
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
            submission.deadline_s,
            submission.trace,
        ]

    async def created_before(self, submission: Submission) -> Submittal | None:
        """Return what the submission's event id has created before: `known`, or `conflict` with another request."""
        if submission.event_id is None:
            return None
        name = keys.creation(tag_of(submission.response_id), submission.event_id)
        response_id, digest = await self.database.call("HMGET", name, "response_id", "digest")
        if response_id is None:
            return None
        is_same = digest.decode() == submission.digest
        return Submittal(Submitted.KNOWN if is_same else Submitted.CONFLICT, ResponseId(response_id.decode()))

    async def stop(
        self,
        rid: ResponseId,
        principal: Principal | None,
        *,
        by: str,
        reason: str | None,
        waits: bool = True,
        begun: "asyncio.Future[Any] | None" = None,
    ) -> StopReceipt:
        """Mark a job and publish the hint; settle it if nobody has it.

        `principal`: who asks, for a job of its own or, with an operator's scope, of its tenants; None: Andon itself.
        `waits`: for a replica, where there is one. `begun`: this very stop was sent by `begin_stop`. A response whose
        lane this freed is given its turn before this returns.
        """
        replicated: float | Literal[False] | None = None
        if begun is not None:
            reply = await begun
        elif waits and self._replication is not None and self._replication.serves(keys.job(rid)):
            args = self._stop_args(rid, principal, by, reason)
            reply, replicated = await self._replication.eval(script("stop"), keys.of_ending(rid), args)
        else:
            args = self._stop_args(rid, principal, by, reason)
            reply = await self.database.eval(script("stop"), keys.of_ending(rid), args)
        outcome = tag_as(StopOutcome, reply)
        if outcome is StopOutcome.UNKNOWN:
            return StopReceipt(rid, outcome)
        if outcome is StopOutcome.ALREADY_ENDED:
            return StopReceipt(rid, outcome, status=Status(reply[1].decode()))
        recorded, acked, closed, settled = map(time_of, reply[1:5])
        receipt = StopReceipt(
            rid,
            outcome,
            recorded=recorded,
            replicated=replicated,
            acked=acked,
            upstream_closed=closed,
            settled=settled,
            next_of_lane=id_of(reply[7]),
            whose=whose_of(reply[8:12]),
        )
        if receipt.settled is not None:
            self._tell_stopped(StopPath.UNCLAIMED)
        await self._give_turn(receipt.next_of_lane)
        return receipt

    def may_begin_stop(self, rid: ResponseId) -> bool:
        """Tell whether a stop of this response waits for no replica."""
        return self._replication is None or not self._replication.serves(keys.job(rid))

    def begin_stop(
        self, rid: ResponseId, principal: Principal | None, *, by: str, reason: str | None
    ) -> "asyncio.Future[Any]":
        """Send a stop that waits for no replica; `stop` is given the future, and tells the rest."""
        args = self._stop_args(rid, principal, by, reason)
        return self.database.eval(script("stop"), keys.of_ending(rid), args)

    def _stop_args(self, rid: ResponseId, principal: Principal | None, by: str, reason: str | None) -> list[Argument]:
        tenant, subject = reach_of(principal) if principal else ("", "")
        return [
            rid,
            tenant,
            subject,
            encode(by),
            encode(reason),
            self._log_ttl_ms,
            self._outbox_ttl_ms,
            keys.events(tag_of(rid)),
            self._turn_ttl_ms,
        ]

    def beside_stops(self, commands: Sequence[tuple[Argument, ...]]) -> "list[asyncio.Future[Any]]":
        """Send commands at once, on the connection on which stops go, so that they run before the next one."""
        # In a cluster the audit is on a node of its own: there is no connection that both take.
        if isinstance(self._replication, Replication) and self._replication.had_replicas:
            return self._replication.call_many(commands)
        return [self.database.call(*command) for command in commands]

    async def promote(self, rid: ResponseId) -> bool:
        """Give a waiting response its turn: into the queue first, then the session's script."""
        tag = tag_of(rid)
        hints = self._enqueue(rid)
        await self.database.first(hints)
        reply = self.database.eval(
            script("promote"),
            [keys.job(rid), keys.log(rid), keys.lanes(tag)],
            [rid, self._live_ttl_ms, keys.events(tag)],
        )
        for hint in hints:
            await hint
        return bool((await reply)[0] == b"queued")

    async def expire(self, rid: ResponseId) -> None:
        """End a job that no worker took in time, or before its deadline; leave any other alone."""
        reply = await self.database.eval(
            script("expire"),
            keys.of_ending(rid),
            [
                rid,
                self._log_ttl_ms,
                self._outbox_ttl_ms,
                self.settings.queue_ttl_s,
                _QUEUE_TIMEOUT,
                keys.events(tag_of(rid)),
                self._turn_ttl_ms,
                _DEADLINE_EXCEEDED,
            ],
        )
        if len(reply) > 1:
            if reply[0] == b"stopped":
                self._tell_stopped(StopPath.UNCLAIMED)
            else:
                self.telemetry.ended(Status.FAILED)
            await self._give_turn(id_of(reply[1]))

    async def enqueue(self, rid: ResponseId) -> None:
        """Write a queue entry for a job that lost its own."""
        for hint in self._enqueue(rid):
            await hint

    async def renew(self, rid: ResponseId) -> None:
        """Renew the keys of a job that waits for its lane: no worker does it."""
        await self.database.call("PEXPIRE", keys.job(rid), self._live_ttl_ms)

    async def present(self, ids: dict[ResponseId, float]) -> None:
        """Say that somebody is attached to these responses (id to the seconds of its abandonment)."""
        said = [
            self.database.call("SET", keys.seen(rid), "1", "PX", _ms(presence_ttl_s(abandon_s)))
            for rid, abandon_s in ids.items()
        ]
        for reply in said:
            await reply

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

    # ── worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def claim(self, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
        """Become the owner of a queued job. The worker's job set is written first, so that it is a superset."""
        *before, _ = self._claim_commands(rid, worker_id)
        hints = [self.database.call(*command) for command in before]
        await self.database.first(hints)
        reply = self.database.eval(script("claim"), keys.of_ending(rid), self._claim_args(rid, worker_id))
        self.database.go()
        for hint in hints:
            await hint
        return await self.finish_claim(rid, worker_id, await reply)

    def begin_claim(self, rid: ResponseId, worker_id: WorkerId, on_claim: Callable[[Claimed | Any], None]) -> bool:
        """Send a claim within this call, and tell of it within the callback in which it is answered.

        `on_claim` gets the job, or else what `finish_claim` is to be given; maybe at once. False where the job set is
        on another server than the job: then nothing is sent.
        """
        if self.database.is_spread:
            return False

        def on_reply(told: Any) -> None:
            try:
                if not isinstance(told, Exception) and told[0] == b"claimed":
                    told = _claimed(rid, worker_id, told)
            except Exception as error:  # noqa: BLE001  an answer that is none: raised by whoever finishes the claim
                told = error
            on_claim(told)

        hear(self.database, self._claim_commands(rid, worker_id), on_reply, if_unknown=script("claim").text)
        self.database.go()
        return True

    async def finish_claim(self, rid: ResponseId, worker_id: WorkerId, told: Any) -> Claimed | Refused:
        """Read what a claim was answered, and do what a refusal asks for. Raises what came instead of an answer."""
        if isinstance(told, Exception):
            raise told
        if told[0] == b"claimed":
            return _claimed(rid, worker_id, told)
        refused = tag_as(Refused, told)
        if refused is Refused.STOPPED:
            self._tell_stopped(StopPath.CLAIM)
        elif refused is Refused.EXPIRED:
            self.telemetry.ended(Status.FAILED)
        if refused in {Refused.STOPPED, Refused.EXPIRED}:
            await self._give_turn(id_of(told[1]))
        return refused

    def _claim_commands(self, rid: ResponseId, worker_id: WorkerId) -> list[tuple[Argument, ...]]:
        """Return what a claim is on one server: the hints, then the script."""
        jobs, names = keys.worker_jobs(worker_id), keys.of_ending(rid)
        return [
            ("SADD", jobs, rid),
            # A worker that dies before its next beat must not leave the set for ever.
            ("PEXPIRE", jobs, KEYS_TTL_MS),
            ("EVALSHA", script("claim").sha, len(names), *names, *self._claim_args(rid, worker_id)),
        ]

    def _claim_args(self, rid: ResponseId, worker_id: WorkerId) -> list[Argument]:
        return [
            rid,
            worker_id,
            self._live_ttl_ms,
            self._log_ttl_ms,
            self._outbox_ttl_ms,
            self.settings.queue_ttl_s,
            _QUEUE_TIMEOUT,
            keys.events(tag_of(rid)),
            self._turn_ttl_ms,
            _DEADLINE_EXCEEDED,
        ]

    async def append(self, job: Claimed, first: int, frames: list[bytes], *, renew: bool) -> Outcome:
        """Log frames numbered from `first` and publish them. `renew`: renew the keys' time to live as well."""
        ttl_ms = self._live_ttl_ms if renew else 0
        args = [*_append_constants(job), first, ttl_ms, *frames]
        return outcome_of(await self.database.eval(script("append"), _append_keys(job), args))

    def appender(self, job: Claimed, on_reply: Callable[[Any], None]) -> Appender:
        """Make what appends for a run without waiting. `on_reply` gets what `outcome_of` reads, or the error."""
        constant = (*_append_keys(job), *_append_constants(job))
        return Appender(self.database, constant, self._live_ttl_ms, on_reply)

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
        reply = await self.database.eval(script("settle"), keys.of_ending(job.response_id), args)
        outcome = outcome_of(reply)
        if outcome.tag is Written.SETTLED:
            self.telemetry.ended(status)
            usage = settlement["usage"]
            self.telemetry.settled_tokens(usage["source"], usage["output_tokens"])
        await self._give_turn(outcome.next_of_lane)
        return outcome

    async def requeue(self, job: Claimed, *, usage: bytes = b"") -> Outcome:
        """Put a job that has no output back into the queue, or settle it if it is marked.

        `usage` (JSON) is what its claim has cost so far; empty if no request was made.
        """
        rid = job.response_id
        hints = self._enqueue(rid)
        await self.database.first(hints)
        reply = self.database.eval(
            script("requeue"),
            keys.of_ending(rid),
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
        outcome = outcome_of(await reply)
        if outcome.tag is Written.STOPPED:
            self._tell_stopped(StopPath.REQUEUE)
        await self._give_turn(outcome.next_of_lane)
        return outcome

    async def look(self, job: Claimed) -> Outcome:
        """Read the mark of a silent job and renew its keys."""
        rid = job.response_id
        reply = await self.database.eval(
            script("look"), [keys.job(rid), keys.log(rid)], [job.worker_id, job.generation, self._live_ttl_ms]
        )
        return outcome_of(reply)

    async def ack(self, job: Claimed, *, acked_at: float, upstream_closed_at: float | None) -> Outcome:
        """Say that a stop was heard, where its settlement takes longer."""
        closed = "" if upstream_closed_at is None else f"{upstream_closed_at:.6f}"
        reply = await self.database.eval(
            script("ack"), [keys.job(job.response_id)], [job.worker_id, job.generation, f"{acked_at:.6f}", closed]
        )
        return outcome_of(reply)

    async def forget(self, worker_id: WorkerId, rid: ResponseId) -> None:
        """Take an ended job out of the worker's job set."""
        await self.database.call("SREM", keys.worker_jobs(worker_id), rid)

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _index_commands(self, tag: SessionTag) -> list[tuple[Argument, ...]]:
        return [
            # The score tells the sweep that a submit may be under way.
            ("ZADD", keys.SESSIONS, int(time.time()), tag),
            ("PEXPIRE", keys.SESSIONS, self._index_ttl_ms),
        ]

    def _enqueue_commands(self, rid: ResponseId) -> list[tuple[Argument, ...]]:
        return [("XADD", keys.QUEUE, "*", "job", rid), ("PEXPIRE", keys.QUEUE, self._live_ttl_ms)]

    def _enqueue(self, rid: ResponseId) -> list[Any]:
        return [self.database.call(*command) for command in self._enqueue_commands(rid)]

    def _tell_stopped(self, path: StopPath) -> None:
        """Tell of a stop that a script settled, of a job that no worker had."""
        self.telemetry.stopped(path, StopEnd.SETTLED)
        self.telemetry.ended(Status.CANCELLED)

    async def _give_turn(self, rid: ResponseId | None) -> None:
        if rid is not None:
            await self.promote(rid)
