"""Store: the typed door to the scripts of a job's life: here those of gateways, in `runs` those of workers.

Owns which keys and arguments each script gets, and what its tagged reply means. Does no policy: it neither retries
nor decides. Every method may be repeated after StoreUnavailable, because every script answers a repeat without
changing anything. Cancelling the wait of any method is safe; the script may run all the same.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

from andon import keys
from andon.database import Database
from andon.frames import encode
from andon.ids import Principal, ResponseId, SessionTag, tag_of
from andon.link import Argument
from andon.places import Places
from andon.replication import Replication, Waiting
from andon.replies import (
    JobView,
    StopOutcome,
    StopReceipt,
    Submission,
    Submittal,
    Submitted,
    id_of,
    tag_as,
    time_of,
    whose_of,
)
from andon.response import Status
from andon.runs import Runs, in_ms
from andon.scopes import reach_of
from andon.script import script
from andon.settings import Settings
from andon.telemetry import SILENT, StopPath, Telemetry

MOST_WAITING_IN_LANE: Final = 16
# Why a stop was asked for that nobody asked for.
ABANDONED: Final = "abandoned"


def presence_ttl_s(abandon_s: float) -> float:
    """Return how long a presence lasts: half of the abandon time; the other half is counted by whoever misses it.

    So the clock starts anew after an outage in which presences could not be renewed.
    """
    return abandon_s / 2


def _longest_life_s(settings: Settings) -> float:
    """Return how long a response can live at the very most: last in its lane, each of them claimed in vain at first."""
    return (MOST_WAITING_IN_LANE + 1) * settings.max_attempts * settings.live_ttl_s


class Store(Runs):
    """The scripts of a job's life, typed."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        replication: Waiting | None = None,
        *,
        telemetry: Telemetry = SILENT,
    ) -> None:
        super().__init__(database, settings, telemetry=telemetry)
        # What a stop waits for, where the server has replicas; workers have no use for it.
        self._replication = replication
        # What may be live at once, and of whom.
        self.places = Places(database, settings, longest_life_s=_longest_life_s(settings))
        self._session_ttl_ms = in_ms(max(settings.session_ttl_s, settings.live_ttl_s))
        self._index_ttl_ms = self._live_ttl_ms + in_ms(86400)

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
        answer: list[bytes] = await self._eval_after(
            [*self._index_commands(tag), *self._enqueue_commands(submission.response_id)],
            "submit",
            self._submit_keys(submission, tag),
            self._submit_args(submission, tag, instead_of),
            is_urgent=True,
        )
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
            in_ms(presence_ttl_s(submission.abandon_s)),
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

    async def enqueue(self, rid: ResponseId) -> None:
        """Write a queue entry for a job that lost its own."""
        for hint in [self.database.call(*command) for command in self._enqueue_commands(rid)]:
            await hint

    async def renew(self, rid: ResponseId) -> None:
        """Renew the keys of a job that waits for its lane: no worker does it."""
        await self.database.call("PEXPIRE", keys.job(rid), self._live_ttl_ms)

    async def present(self, ids: dict[ResponseId, float]) -> None:
        """Say that somebody is attached to these responses (id to the seconds of its abandonment)."""
        said = [
            self.database.call("SET", keys.seen(rid), "1", "PX", in_ms(presence_ttl_s(abandon_s)))
            for rid, abandon_s in ids.items()
        ]
        for reply in said:
            await reply

    async def missing_for_s(self, job: JobView) -> float:
        """Return for how long sweeps have missed a job's presence, counted from the first that did."""
        ttl_ms = in_ms(2 * job.abandon_s)
        name = keys.unseen(job.response_id)
        first = self.database.call("SET", name, f"{time.time():.3f}", "NX", "GET", "PX", ttl_ms)
        since = await first
        return time.time() - float(since) if since else 0.0

    async def seen_again(self, rid: ResponseId) -> None:
        """Forget that a job's presence was missed."""
        await self.database.call("DEL", keys.unseen(rid))

    def _index_commands(self, tag: SessionTag) -> list[tuple[Argument, ...]]:
        return [
            # The score tells the sweep that a submit may be under way.
            ("ZADD", keys.SESSIONS, int(time.time()), tag),
            ("PEXPIRE", keys.SESSIONS, self._index_ttl_ms),
        ]
