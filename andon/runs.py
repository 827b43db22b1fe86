"""Runs: the typed door to the scripts of a job from its turn to its ending.

Owns which keys and arguments each of them gets, and what its tagged reply means. Does no policy: it neither retries nor
decides. Every method may be repeated after StoreUnavailable, because every script answers a repeat without changing
anything. Cancelling the wait of any method is safe; the script may run all the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from andon import keys
from andon.appender import Appender
from andon.database import Database
from andon.frames import decode, encode
from andon.hearer import hear
from andon.ids import ResponseId, WorkerId, tag_of
from andon.lease import KEYS_TTL_MS
from andon.link import Argument
from andon.pieces import Cause, Failure
from andon.reads import Reads
from andon.replies import Claimed, Outcome, Refused, Written, id_of, outcome_of, tag_as, whose_of
from andon.response import DEADLINE_EXCEEDED, Status, error_object
from andon.script import script
from andon.settings import Settings
from andon.telemetry import SILENT, StopEnd, StopPath, Telemetry
from andon.turns import Turn, parse_turn

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


def in_ms(seconds: float) -> int:
    """Return milliseconds as the scripts take them."""
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


class Runs(Reads):
    """The scripts of a job that has its turn, typed."""

    def __init__(self, database: Database, settings: Settings, *, telemetry: Telemetry = SILENT) -> None:
        super().__init__(database)
        self.settings = settings
        # Told of stops and endings that scripts report here, and by whoever else holds this store.
        self.telemetry = telemetry
        self._live_ttl_ms = in_ms(settings.live_ttl_s)
        self._log_ttl_ms = in_ms(settings.log_ttl_s)
        self._outbox_ttl_ms = in_ms(OUTBOX_TTL_S)
        self._turn_ttl_ms = in_ms(settings.session_ttl_s)

    async def promote(self, rid: ResponseId) -> bool:
        """Give a waiting response its turn: into the queue first, then the session's script."""
        tag = tag_of(rid)
        reply = await self._eval_after(
            self._enqueue_commands(rid),
            "promote",
            [keys.job(rid), keys.log(rid), keys.lanes(tag)],
            [rid, self._live_ttl_ms, keys.events(tag)],
        )
        return bool(reply[0] == b"queued")

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

    async def claim(self, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
        """Become the owner of a queued job. The worker's job set is written first, so that it is a superset."""
        hints, args = self._claim_hints(rid, worker_id), self._claim_args(rid, worker_id)
        reply = await self._eval_after(hints, "claim", keys.of_ending(rid), args, is_urgent=True)
        return await self.finish_claim(rid, worker_id, reply)

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

        claim, names = script("claim"), keys.of_ending(rid)
        command = ("EVALSHA", claim.sha, len(names), *names, *self._claim_args(rid, worker_id))
        hear(self.database, [*self._claim_hints(rid, worker_id), command], on_reply, if_unknown=claim.text)
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

    @staticmethod
    def _claim_hints(rid: ResponseId, worker_id: WorkerId) -> list[tuple[Argument, ...]]:
        jobs = keys.worker_jobs(worker_id)
        # A worker that dies before its next beat must not leave the set for ever.
        return [("SADD", jobs, rid), ("PEXPIRE", jobs, KEYS_TTL_MS)]

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
        reply = await self._eval_after(
            self._enqueue_commands(rid),
            "requeue",
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
        outcome = outcome_of(reply)
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

    async def _eval_after(
        self,
        hints: Sequence[tuple[Argument, ...]],
        name: str,
        names: list[str],
        args: list[Argument],
        *,
        is_urgent: bool = False,
    ) -> Any:
        """Run a script after the hints that must be written before it: in one write with them on one server.

        `is_urgent`: within this call, not at the end of the turn.
        """
        sent = [self.database.call(*hint) for hint in hints]
        await self.database.first(sent)
        reply = self.database.eval(script(name), names, args)
        if is_urgent:
            self.database.go()
        for hint in sent:
            await hint
        return await reply

    def _enqueue_commands(self, rid: ResponseId) -> list[tuple[Argument, ...]]:
        return [("XADD", keys.QUEUE, "*", "job", rid), ("PEXPIRE", keys.QUEUE, self._live_ttl_ms)]

    def _tell_stopped(self, path: StopPath) -> None:
        """Tell of a stop that a script settled, of a job that no worker had."""
        self.telemetry.stopped(path, StopEnd.SETTLED)
        self.telemetry.ended(Status.CANCELLED)

    async def _give_turn(self, rid: ResponseId | None) -> None:
        if rid is not None:
            await self.promote(rid)
