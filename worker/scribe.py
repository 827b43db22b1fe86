"""Scribe: writes one run: its events while the model speaks, and its one ending.

Owns the numbering of events, the append that is in flight (one at a time), what a verdict sets in motion, and the pump:
it starts it and stops it. Does not own which verdict stays (`judgement`), nor how the ending is written once the pump
has ended (`last_page`), the lease, the claim, or what a stop's path was.

Guarantees: events enter the log in order and once (a repeat carries the same first number); after a mark nothing
does; the ending is written once, or left to a rescuer when the job is no longer this worker's. `run` never raises for
the job's own troubles: they become its ending.

Cancelling `run` is for the end of the process only: it closes the upstream and writes nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import cached_property
from typing import Any, Final

import structlog
from structlog.contextvars import bind_contextvars

from andon.appender import Appender
from andon.errors import StoreUnavailable
from andon.frames import decode
from andon.ids import ResponseId
from andon.logs import about
from andon.pieces import Cause, Delta, Event, Failure, Finish, Piece
from andon.replies import Claimed, Outcome, Written, outcome_of
from andon.response import DEADLINE_EXCEEDED, Stop
from andon.settings import Settings
from andon.store import Store
from andon.telemetry import StopPath
from andon.tracing import trace_fields
from andon.turns import Turn, with_context
from worker.aftermath import After, at_once
from worker.judgement import Judgement
from worker.last_page import LastPage
from worker.logbook import FIRST_OUTPUT_NUMBER, Logbook
from worker.lookout import blind
from worker.output_cap import OutputCap
from worker.pump import Pump
from worker.run_trace import RunTrace
from worker.telling import tell_stop
from worker.upstream.source import Source
from worker.verdict import Abandoned, Drained, Failed, Finished, Loss, Stopped, Verdict

_log = structlog.get_logger(__name__)

_STORE_RETRY_FIRST_S: Final = 0.02
_STORE_RETRY_MOST_S: Final = 0.5
# Servers open an item, then a part of it, then give its first text, each in a write of its own, some 0.1 ms apart. What
# only opens waits for so long, so that the text need not wait for the answer to its append.
_OPENING_S: Final = 0.001


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
        # Why this run ends.
        self._judgement = Judgement(self._log)
        self._wake = asyncio.Event()
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

    @cached_property
    def _appender(self) -> Appender:
        """Make what appends, once: the request to the model does not wait for it."""
        return self._store.appender(self.job, self._answered)

    @property
    def response_id(self) -> ResponseId:
        """Return the id of the response that is written."""
        return self.job.response_id

    @property
    def loss(self) -> Loss | None:
        """Tell why the job is no longer this worker's to write, if it is not."""
        return self._judgement.loss

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
            self._judgement.rule(self._stopped)
            self._after(self._follow_if_held)
        else:
            self._follow_stop()

    def _follow_if_held(self) -> None:
        """Do the rest of a stop whose time has come, or comes now: the run ends of something else."""
        if self._is_held:
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
        self._follow_if_held()
        self._judgement.rule(verdict)
        if not isinstance(verdict, Finished):
            self._pump.stop()
        self._wake.set()

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
        if self._appender.is_under_way or self._trouble is not None or self._judgement.verdict is not None:
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
        if self._trouble is not None or self._finish is not None or self._judgement.verdict is not None:
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
        _ = self._appender  # made while the model thinks
        timeouts = [self._loop.call_later(self._settings.max_run_s, self._run_timed_out)]
        if self.job.left_s is not None:
            timeouts.append(self._loop.call_later(self.job.left_s, self._deadline_passed))
        try:
            if self.job.chain and (request := await self._resolved()) is not None:
                self._request = request
                self._pump.start(request)
            await self._write_events()
            self._pump.stop()
            await self._last_page().write()
            tell_stop(self._store.telemetry, self._stopped, self.loss, self._pump, self._book)
        except BaseException as error:
            self._trace.crashed(type(error).__name__)
            raise
        finally:
            self._follow_if_held()
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
        turns = await self._judgement.insist(self._read_turns)
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

    async def _write_events(self) -> None:
        """Wait until there is a verdict and no append is in flight; repeat one whose reply was lost."""
        while self._judgement.verdict is None or self._appender.is_under_way:
            await self._wake.wait()
            self._wake.clear()
            if self._trouble is not None:
                await self._repair(self._trouble)
            elif self._finish is not None and not self._appender.is_under_way:
                # The last pieces are not appended: they enter the log with the ending, in one script.
                self._decide(Finished(self._finish))
        if self._trouble is not None:
            await self._repair(self._trouble)

    async def _repair(self, trouble: Exception) -> None:
        """Send the append again whose reply was lost, until Redis answers or a verdict makes it unneeded."""
        if not isinstance(trouble, StoreUnavailable):
            raise trouble
        self._log.warning("store.away", error=str(trouble))
        if self._judgement.verdict is None:
            await asyncio.sleep(_STORE_RETRY_FIRST_S)
        if self._judgement.verdict is None:
            await self._append(self._book.in_flight())
        self._trouble = None
        if self._finish is None:
            self._set_out()
        self._wake_up()

    async def _append(self, frames: list[bytes], *, past_verdict: bool = False) -> None:
        first, renew = self._book.next, self._is_renewal_due(self._loop.time())
        outcome = await self._judgement.insist(
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

    def _last_page(self) -> LastPage:
        return LastPage(
            self.job,
            store=self._store,
            judgement=self._judgement,
            book=self._book,
            pump=self._pump,
            trace=self._trace,
            log=self._log,
            request=self._request,
            finish=self._finish,
            drain_ending=self._settings.drain_ending,
            append=lambda frames: self._append(frames, past_verdict=True),
            on_mark=self.stop,
            on_loss=self.abandon,
        )


def _only_open(pieces: list[Piece]) -> bool:
    """Tell whether pieces say no more than what is to come."""
    return all(isinstance(piece, Event) and piece.type.endswith(".added") for piece in pieces)
