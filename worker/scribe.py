"""Scribe: writes one run: its events while the model speaks, and its one ending.

Owns the numbering of events, the append that is in flight (one at a time), the verdict, and the settlement. Owns the
pump: it starts it, stops it, and awaits its end before it writes the ending. Does not own the lease, the claim, or
what a stop's path was.

Guarantees: events enter the log in order and once (a repeat carries the same first number); after a mark nothing
does; the ending is written once, or left to a rescuer when the job is no longer this worker's. `run` never raises for
the job's own troubles: they become its ending.

Cancelling `run` is for the end of the process only: it closes the upstream and writes nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Final, TypeVar, assert_never

import structlog
from structlog.contextvars import bind_contextvars

from andon.errors import StoreUnavailable
from andon.frames import decode, encode
from andon.ids import ResponseId
from andon.logs import about
from andon.pieces import Cause, Delta, Event, Failure, Finish, Piece
from andon.replies import Claimed, Outcome, Written, outcome_of
from andon.response import DEADLINE_EXCEEDED, Ending, Stop, settlement, terminal_frame
from andon.settings import Settings
from andon.store import Store
from andon.telemetry import StopPath
from andon.tracing import trace_fields
from andon.turns import Turn, with_context
from andon.usage import Usage
from worker.aftermath import After, at_once
from worker.ending import ending_of, usage_of
from worker.logbook import FIRST_OUTPUT_NUMBER, Logbook
from worker.lookout import blind
from worker.output_cap import OutputCap
from worker.pump import Pump
from worker.run_trace import RunTrace
from worker.telling import tell_stop
from worker.upstream.source import Source
from worker.verdict import Abandoned, Drained, Failed, Finished, Loss, Stopped, Verdict

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_STORE_RETRY_FIRST_S: Final = 0.02
_STORE_RETRY_MOST_S: Final = 0.5
# Servers open an item, then a part of it, then give its first text, each in a write of its own, some 0.1 ms apart. What
# only opens waits for so long, so that the text need not wait for the answer to its append.
_OPENING_S: Final = 0.001
# A stop whose upstream is not closed by then is acknowledged in a write of its own, before its settlement.
_ACK_AFTER_S: Final = 0.05


class Scribe:
    """One run of one job."""

    def __init__(
        self,
        job: Claimed,
        *,
        store: Store,
        source: Source,
        settings: Settings,
        renew_every_s: float,
        after: After = at_once,
        lookout: Callable[[], None] = blind,
    ) -> None:
        self.job = job
        # Called after each piece of work: it may stop this run, or another.
        self._lookout = lookout
        # Calls what follows the closing of a stopped upstream when there is time.
        self._after = after
        # A stop has closed the upstream, and all else of it waits for its time.
        self._is_held = False
        self._store = store
        self._settings = settings
        self._renew_every_s = renew_every_s
        self._request: dict[str, Any] = decode(job.request)
        self._trace = RunTrace(job)
        fields = {**about(job.response_id, job.whose), **trace_fields(self._trace.context)}
        self._fields = fields
        self._log = _log.bind(**fields, generation=job.generation)
        self._pump = Pump(
            source,
            retries=settings.upstream_retries,
            on_pieces=self._take_pieces,
            on_end=self._wake_up,
            on_failure=store.telemetry.upstream_failed,
            call=self._trace.call,
        )
        self._book = Logbook(job, most_bytes=settings.job_buffer_bytes)
        # None where responses may have as many tokens as the model server gives.
        self._cap = OutputCap(settings.max_output_tokens) if settings.max_output_tokens else None
        # Pieces of text so far.
        self._deltas = 0
        self._finish: Finish | None = None
        # Why this run ends; the first reason stays, except that a mark overrules all but a loss.
        self._verdict: Verdict | None = None
        # Cleared when the log refuses: too many claims, or output after all.
        self._may_requeue = True
        self._wake = asyncio.Event()
        self._appender = store.appender(job, self._answered)
        # Whether the append in flight renews the keys.
        self._is_renewing = False
        # Runs while all that is to be appended only opens something.
        self._opening: asyncio.TimerHandle | None = None
        # Why that append has no answer: the run repeats it, or fails of it. None while all is well.
        self._trouble: Exception | None = None
        self._loop = asyncio.get_running_loop()
        # Loop time of the last answer about this job's mark: the beat looks at those that are silent.
        self.heard_at = self._loop.time()
        self._renewed_at = self.heard_at
        # Loop time of the claim.
        self._claimed_at = self.heard_at
        # The stop that was heard first; a loss may overrule it.
        self._stopped: Stopped | None = None
        # Loop time of the last look at whether anybody is attached.
        self.looked_for_presence_at = self.heard_at

    @property
    def response_id(self) -> ResponseId:
        """Return the id of the response that is written."""
        return self.job.response_id

    @property
    def loss(self) -> Loss | None:
        """Tell why the job is no longer this worker's to write, if it is not."""
        return self._verdict.loss if isinstance(self._verdict, Abandoned) else None

    @property
    def tokens_so_far(self) -> int:
        """Count what the model has said: as its server tells, else a token a piece. For consoles."""
        told = self._pump.usage_so_far
        return self._deltas if told is None else int(told.get("output_tokens") or self._deltas)

    # ── what others say; none of these waits ─────────────────────────────────────────────────────────────────────

    def stop(self, stop: Stop, path: StopPath = StopPath.APPEND) -> None:
        """Obey a mark: close the upstream now, settle as cancelled. May be repeated."""
        if self._stopped is not None:
            if not self._is_held:
                self._decide(self._stopped)
            return
        heard_at = time.time()
        # First of all; nothing of what follows could come in between.
        self._is_held = self._pump.cut()
        self._stopped = Stopped(stop, heard_at, path)
        if self._is_held:
            self._rule(self._stopped)
            self._after(self._follow_stop)
        else:
            self._follow_stop()

    def _follow_stop(self) -> None:
        """Do the rest of the first stop."""
        assert self._stopped is not None
        self._is_held = False
        self._trace.obeys(self._stopped)
        self._decide(self._stopped)

    def abandon(self, loss: Loss) -> None:
        """Close the upstream now and write nothing more: the job is no longer ours."""
        self._decide(Abandoned(loss))

    def drain(self) -> None:
        """Requeue the job if it has produced nothing, end it otherwise: the worker's drain is over."""
        self._decide(Drained(time.time()))

    def _decide(self, verdict: Verdict) -> None:
        self._rule(verdict)
        if not isinstance(verdict, Finished):
            self._pump.stop()
        self._wake.set()

    def _rule(self, verdict: Verdict) -> None:
        old = self._verdict
        overrules = isinstance(verdict, Abandoned) or (isinstance(verdict, Stopped) and not isinstance(old, Stopped))
        if old is None or (overrules and not isinstance(old, Abandoned)):
            self._verdict = verdict

    def _wake_up(self) -> None:
        if not self._is_held:
            self._wake.set()

    def _take_pieces(self, pieces: list[Piece]) -> None:
        had_text, backlog = self._deltas, self._book.backlog
        for piece in pieces:
            if isinstance(piece, Finish):
                self._finish = piece
            else:
                backlog.add(piece)
                self._deltas += isinstance(piece, Delta)
        if not had_text and self._deltas:
            self._store.telemetry.first_text(self._loop.time() - self._claimed_at)
        if backlog.overfull:
            message = "The model wrote faster than the log could take it. Create the response again later."
            self._decide(Failed(Failure("server_error", Cause.OUTPUT_TOO_FAST, message)))
        if self._finish is None and self._cap is not None and self._cap.is_exceeded(pieces, self._pump.usage_so_far):
            # As the model server would have ended it, had it kept to the limit that it was given.
            self._log.info("run.capped")
            self._finish = Finish("incomplete", {}, None, incomplete_reason="max_output_tokens")
            self._pump.stop()
        if self._finish is not None:
            if self._deltas and not had_text:
                self._set_out()  # the first text does not wait for the making of an ending that came with it
            self._wake_up()
        elif had_text or self._deltas or not _only_open(pieces):
            self._set_out()
        elif self._opening is None:
            self._opening = self._loop.call_later(_OPENING_S, self._opened)
        self._lookout()

    def _opened(self) -> None:
        """Append what only opens: no text has followed it."""
        self._opening = None
        if self._finish is None:
            self._set_out()

    # ── appends, while all is well: no task takes part ───────────────────────────────────────────────────────────

    def _set_out(self) -> None:
        """Append what may be logged now. While one batch is in flight the next one gathers: natural batching."""
        if self._appender.is_under_way or self._trouble is not None or self._verdict is not None:
            return
        if frames := self._book.depart():
            now = self._loop.time()
            self._is_renewing = self._is_renewal_due(now)
            self._appender.send(self._book.next, frames, now, renew=self._is_renewing)
            if self._book.next <= FIRST_OUTPUT_NUMBER:
                # Whoever asked has waited for this; what follows goes out in batches.
                self._store.database.go()

    def _is_renewal_due(self, now: float) -> bool:
        return now - self._renewed_at > self._renew_every_s

    def _answered(self, reply: Any) -> None:
        """Take in the reply to an append, or why there is none, and append what has gathered meanwhile."""
        try:
            self._take_in(reply)
            if self._finish is None:
                self._set_out()
        except Exception as error:  # noqa: BLE001  raised by the run, which is told
            self._trouble = error
        if self._trouble is not None or self._finish is not None or self._verdict is not None:
            self._wake_up()
        self._lookout()

    def _take_in(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            raise reply
        self.heard_at = self._loop.time()
        if self._is_renewing:
            self._renewed_at = self.heard_at
        if type(reply) is int:  # the log's length: nearly always
            self._book.arrived(reply)
        else:
            self._learn(outcome_of(reply))

    # ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Ask the model, if nothing has to be read for that. Returns at once; `run` is to follow in the same turn."""
        if not self.job.chain:
            # What is logged by the pump, and by code of one's own that it runs, says what it is about.
            context = copy_context()
            context.run(bind_contextvars, **self._fields)
            context.run(self._pump.start, self._request)

    async def run(self) -> None:
        """Run the job to its ending. See the module for what it guarantees."""
        # What is logged for this run says so, in the tasks that it starts as well: the pump's, those of one's own code.
        bind_contextvars(**trace_fields(self._trace.context))
        timeouts = [self._loop.call_later(self._settings.max_run_s, self._run_timed_out)]
        if self.job.left_s is not None:
            timeouts.append(self._loop.call_later(self.job.left_s, self._deadline_passed))
        try:
            if self.job.chain and (request := await self._resolved()) is not None:
                self._request = request
                self._pump.start(request)
            verdict = await self._write_events()
            self._pump.stop()
            await self._await_pump(verdict)
            await self._end()
            tell_stop(self._store.telemetry, self._stopped, self.loss, self._pump, self._book)
        except BaseException as error:
            self._trace.crashed(type(error).__name__)
            raise
        finally:
            for timeout in timeouts:
                timeout.cancel()
            if self._opening is not None:
                self._opening.cancel()
            self._pump.stop()
            self._appender.forget()
            await self._pump.closed()
            self._trace.end()

    async def _resolved(self) -> dict[str, Any] | None:
        """Put the turns of the conversation before the request's own input; None if there is a verdict instead."""
        turns = await self._repeat(self._read_turns)
        if turns is None:
            return None
        if not turns:
            message = "A turn before this one has expired or was not stored. Send the whole conversation as `input`."
            cause = Cause.PREVIOUS_RESPONSE_NOT_FOUND
            self._decide(Failed(Failure("invalid_prompt", cause, message, "previous_response_id")))
            return None
        return with_context(self._request, turns)

    async def _read_turns(self) -> list[Turn]:
        return await self._store.turns(self.job.chain) or []

    def _run_timed_out(self) -> None:
        message = (
            f"The response took longer than {self._settings.max_run_s:g} s. Ask for less, or raise ANDON_MAX_RUN_S."
        )
        self._decide(Failed(Failure("server_error", Cause.RUN_TIMEOUT, message)))

    def _deadline_passed(self) -> None:
        self._decide(Failed(DEADLINE_EXCEEDED))

    async def _write_events(self) -> Verdict:
        """Wait until there is a verdict and no append is in flight; repeat one whose reply was lost."""
        while (verdict := self._verdict) is None or self._appender.is_under_way:
            await self._wake.wait()
            self._wake.clear()
            if self._trouble is not None:
                await self._repair(self._trouble)
            elif self._finish is not None and not self._appender.is_under_way:
                # The last pieces are not appended: they enter the log with the ending, in one script.
                self._decide(Finished(self._finish))
        if self._trouble is not None:
            await self._repair(self._trouble)
        return verdict

    async def _repair(self, trouble: Exception) -> None:
        """Send the append again whose reply was lost, until Redis answers or a verdict makes it unneeded."""
        if not isinstance(trouble, StoreUnavailable):
            raise trouble
        self._log.warning("store.away", error=str(trouble))
        if self._verdict is None:
            await asyncio.sleep(_STORE_RETRY_FIRST_S)
        if self._verdict is None:
            await self._append(self._book.in_flight())
        self._trouble = None
        if self._finish is None:
            self._set_out()
        self._wake_up()

    async def _append(self, frames: list[bytes], *, past_verdict: bool = False) -> None:
        first, renew = self._book.next, self._is_renewal_due(self._loop.time())
        outcome = await self._repeat(
            lambda: self._store.append(self.job, first, frames, renew=renew), past_verdict=past_verdict
        )
        if outcome is None:
            return  # a verdict came while Redis was away; the ending finds out what was logged
        self.heard_at = self._loop.time()
        if renew:
            self._renewed_at = self.heard_at
        self._learn(outcome)

    def _learn(self, outcome: Outcome) -> None:
        """Take in what the log says of the batch in flight, and of the mark."""
        match outcome.tag:
            case Written.OK | Written.DUPLICATE:
                assert outcome.length is not None
                self._book.arrived(outcome.length)
            case Written.STOPPED:
                assert outcome.length is not None
                assert outcome.stop is not None
                self._book.arrived(outcome.length)
                self.stop(outcome.stop)
            case Written.GONE:
                self.abandon(Loss.GONE)
            case Written.FENCED:
                self.abandon(Loss.FENCED)
            case Written.GAP:
                self._log.warning("log.cut", length=outcome.length, expected=self._book.next)
                self.abandon(Loss.CUT)
            case other:
                self._log.error("append.unexpected", reply=other)
                self.abandon(Loss.FENCED)

    async def _repeat(self, call: Callable[[], Awaitable[_T]], *, past_verdict: bool = False) -> _T | None:
        """Repeat a script while Redis is away; every script answers a repeat without changing anything.

        Returns None once a verdict makes the answer unneeded: any verdict, or with `past_verdict` only a loss.
        """
        delay_s = _STORE_RETRY_FIRST_S
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                self._log.warning("store.away", error=str(error))
            if isinstance(self._verdict, Abandoned) or (self._verdict is not None and not past_verdict):
                return None
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _STORE_RETRY_MOST_S)

    # ── the ending ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _await_pump(self, verdict: Verdict) -> None:
        """Await the pump's end; say early that a stop was heard if that takes long."""
        if await self._pump.closed(_ACK_AFTER_S):
            return
        if isinstance(verdict, Stopped):
            try:
                await self._store.ack(self.job, acked_at=verdict.heard_at, upstream_closed_at=None)
            except StoreUnavailable as error:
                self._log.warning("ack.unsaid", error=str(error))  # the settlement says it
        await self._pump.closed()

    async def _end(self) -> None:
        """Write the ending that the verdict asks for, until it is written or is no longer ours to write."""
        while True:
            match self._verdict:
                case Abandoned(loss):
                    self._log.warning("run.abandoned", loss=loss)
                    self._trace.abandoned(loss)
                    return
                case Stopped() | Finished() | Failed() as verdict:
                    written = await self._settle(verdict)
                case Drained() as verdict:
                    untouched = self._may_requeue and self._finish is None and self._book.is_untouched
                    written = await self._requeue() if untouched else await self._settle(verdict)
                case None:
                    raise AssertionError("an ending without a verdict")
                case other:
                    assert_never(other)
            if written:
                return

    async def _settle(self, verdict: Stopped | Finished | Failed | Drained) -> bool:
        """Try to settle; False if the verdict changed meanwhile and the ending must be decided anew."""
        if in_flight := self._book.in_flight():
            # The reply of the last append was lost.
            if isinstance(verdict, Stopped):
                # After the mark nothing enters the log, so its length tells; a full Redis would refuse an append.
                self._book.arrived(await self._length())
            else:
                await self._append(in_flight, past_verdict=True)  # sent again, it tells what is in the log
        if self._verdict is not verdict:
            return False
        frames = await self._last_frames(verdict)
        if frames is None:
            return False
        ending = ending_of(
            verdict,
            output=self._book.output(),
            usage=self._usage(),
            upstream_closed_at=self._pump.closed_at,
            drain_ending=self._settings.drain_ending,
        )
        first = self._book.next
        frames.append(terminal_frame(first + len(frames), self.job.envelope, self.job.base, ending))
        heard_at = verdict.heard_at if isinstance(verdict, Stopped | Drained) else None
        outcome = await self._repeat(
            lambda: self._store.settle(
                self.job,
                first,
                frames,
                status=ending.status,
                settlement=settlement(ending),
                output=ending.output,
                acked_at=heard_at,
                upstream_closed_at=self._pump.closed_at,
            ),
            past_verdict=True,
        )
        return outcome is not None and self._learn_settled(outcome, ending)

    async def _length(self) -> int:
        """Read the length of the log, until Redis says or the job is no longer ours."""
        outcome = await self._repeat(lambda: self._store.length(self.response_id), past_verdict=True)
        return 0 if outcome is None or outcome.length is None else outcome.length

    def _learn_settled(self, outcome: Outcome, ending: Ending) -> bool:
        match outcome.tag:
            case Written.SETTLED | Written.ALREADY:
                self._log.info("run.ended", status=ending.status, usage=ending.usage.to_wire())
                self._trace.settled(ending, self._finish)
                return True
            case Written.STOPPED:
                # The mark came first. The upstream may have finished all the same: its usage is then exact.
                assert outcome.stop is not None
                self.stop(outcome.stop)
            case Written.GONE:
                self.abandon(Loss.GONE)
            case Written.FENCED:
                self.abandon(Loss.FENCED)
            case Written.GAP:
                self._log.warning("log.cut", length=outcome.length, expected=self._book.next)
                self.abandon(Loss.CUT)
            case other:
                self._log.error("settle.unexpected", reply=other, length=outcome.length, expected=self._book.next)
                self.abandon(Loss.FENCED)
        return False

    async def _last_frames(self, verdict: Stopped | Finished | Failed | Drained) -> list[bytes] | None:
        """Return what enters the log with the ending: nothing where the run is cut short. None: the job was lost."""
        if isinstance(verdict, Finished | Failed):
            return self._book.last_frames()
        if self._book.is_ahead:
            first, last = FIRST_OUTPUT_NUMBER, self._book.next - 1
            logged = await self._repeat(lambda: self._store.log_slice(self.response_id, first, last), past_verdict=True)
            if logged is None:
                return None
            self._book.refold(logged)
        return []

    def _usage(self) -> Usage:
        return usage_of(
            self._finish,
            self._pump.usage_so_far,
            opened=self._pump.opened,
            request=self._request,
            received_text=self._book.received_text(),
        )

    async def _requeue(self) -> bool:
        """Let another worker have the job; False if it must be ended here after all."""
        usage = encode(self._usage().to_wire()) if self._pump.opened else b""
        outcome = await self._repeat(lambda: self._store.requeue(self.job, usage=usage), past_verdict=True)
        match outcome.tag if outcome is not None else None:
            case Written.QUEUED | Written.STOPPED | Written.ENDED:
                self._trace.requeued()
                return True
            case Written.FENCED:
                self.abandon(Loss.FENCED)
            case Written.GONE:
                self.abandon(Loss.GONE)
            case _:  # spent, or it has output after all
                self._may_requeue = False
        return False


def _only_open(pieces: list[Piece]) -> bool:
    """Tell whether pieces say no more than what is to come."""
    return all(isinstance(piece, Event) and piece.type.endswith(".added") for piece in pieces)
