"""Last page: the one ending of a run, written.

Owns the wait for the upstream's end, the settlement and the return of a job to the queue, and what is decided anew when
the verdict changes meanwhile. Does not own the verdict (`judgement`), nor what an ending says (`ending`). Guarantees:
the ending is written once, or left to a rescuer when the job is no longer this worker's.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, assert_never

from andon.errors import StoreUnavailable
from andon.frames import encode
from andon.pieces import Finish
from andon.replies import Claimed, Outcome, Written
from andon.response import Ending, Stop, settlement, terminal_frame
from andon.settings import DrainEnding
from andon.store import Store
from andon.usage import Usage
from worker.ending import ending_of, usage_of
from worker.judgement import Judgement
from worker.logbook import FIRST_OUTPUT_NUMBER, Logbook
from worker.pump import Pump
from worker.run_trace import RunTrace
from worker.verdict import Abandoned, Drained, Failed, Finished, Loss, Stopped

# A stop whose upstream is not closed by then is acknowledged in a write of its own, before its settlement.
_ACK_AFTER_S: Final = 0.05


class LastPage:
    """The ending of one run whose pump was stopped, or has ended. `write` it."""

    def __init__(
        self,
        job: Claimed,
        *,
        store: Store,
        judgement: Judgement,
        book: Logbook,
        pump: Pump,
        trace: RunTrace,
        log: Any,
        request: dict[str, Any],
        finish: Finish | None,
        drain_ending: DrainEnding,
        append: Callable[[list[bytes]], Awaitable[None]],
        on_mark: Callable[[Stop], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self._job = job
        self._store = store
        self._judgement = judgement
        self._book = book
        self._pump = pump
        self._trace = trace
        self._log = log
        self._request = request
        # How the model ended, if it did.
        self._finish = finish
        self._drain_ending = drain_ending
        # Sends an append again whose reply was lost.
        self._append = append
        # Told of a mark, and of a loss, that came before the ending: the verdict is another.
        self._on_mark = on_mark
        self._on_loss = on_loss
        # Cleared when the log refuses: too many claims, or output after all.
        self._may_requeue = True

    async def write(self) -> None:
        """Write what the verdict asks for, until it is written or is no longer ours to write."""
        await self._await_pump()
        while True:
            match self._judgement.verdict:
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

    async def _await_pump(self) -> None:
        """Await the pump's end; say early that a stop was heard if that takes long."""
        if await self._pump.closed(_ACK_AFTER_S):
            return
        if isinstance(verdict := self._judgement.verdict, Stopped):
            try:
                await self._store.ack(self._job, acked_at=verdict.heard_at, upstream_closed_at=None)
            except StoreUnavailable as error:
                self._log.warning("ack.unsaid", error=str(error))  # the settlement says it
        await self._pump.closed()

    async def _settle(self, verdict: Stopped | Finished | Failed | Drained) -> bool:
        """Try to settle; False if the verdict changed meanwhile and the ending must be decided anew."""
        if in_flight := self._book.in_flight():
            # The reply of the last append was lost.
            if isinstance(verdict, Stopped):
                # After the mark nothing enters the log, so its length tells; a full Redis would refuse an append.
                self._book.arrived(await self._length())
            else:
                await self._append(in_flight)  # sent again, it tells what is in the log
        if self._judgement.verdict is not verdict:
            return False
        frames = await self._last_frames(verdict)
        if frames is None:
            return False
        ending = ending_of(
            verdict,
            output=self._book.output(),
            usage=self._usage(),
            upstream_closed_at=self._pump.closed_at,
            drain_ending=self._drain_ending,
        )
        first = self._book.next
        frames.append(terminal_frame(first + len(frames), self._job.envelope, self._job.base, ending))
        heard_at = verdict.heard_at if isinstance(verdict, Stopped | Drained) else None
        outcome = await self._judgement.insist(
            lambda: self._store.settle(
                self._job,
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
        outcome = await self._judgement.insist(lambda: self._store.length(self._job.response_id), past_verdict=True)
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
                self._on_mark(outcome.stop)
            case Written.GONE:
                self._on_loss(Loss.GONE)
            case Written.FENCED:
                self._on_loss(Loss.FENCED)
            case Written.GAP:
                self._log.warning("log.cut", length=outcome.length, expected=self._book.next)
                self._on_loss(Loss.CUT)
            case other:
                self._log.error("settle.unexpected", reply=other, length=outcome.length, expected=self._book.next)
                self._on_loss(Loss.FENCED)
        return False

    async def _last_frames(self, verdict: Stopped | Finished | Failed | Drained) -> list[bytes] | None:
        """Return what enters the log with the ending: nothing where the run is cut short. None: the job was lost."""
        if isinstance(verdict, Finished | Failed):
            return self._book.last_frames()
        if self._book.is_ahead:
            first, last = FIRST_OUTPUT_NUMBER, self._book.next - 1
            logged = await self._judgement.insist(
                lambda: self._store.log_slice(self._job.response_id, first, last), past_verdict=True
            )
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
        outcome = await self._judgement.insist(lambda: self._store.requeue(self._job, usage=usage), past_verdict=True)
        match outcome.tag if outcome is not None else None:
            case Written.QUEUED | Written.STOPPED | Written.ENDED:
                self._trace.requeued()
                return True
            case Written.FENCED:
                self._on_loss(Loss.FENCED)
            case Written.GONE:
                self._on_loss(Loss.GONE)
            case _:  # spent, or it has output after all
                self._may_requeue = False
        return False
