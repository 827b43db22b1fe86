"""Rescue: ends, or queues again, the jobs of a worker that is dead.

Owns what becomes of a job whose owner has a tombstone. Any worker or gateway may do it, at once and repeatedly: the
settle script compares owner, generation and length of the log, so that exactly one of them ends the job, having seen
all that the dead worker wrote. A worker that was only frozen finds its writes fenced when it thaws.

Guarantees: a marked job is settled as cancelled; a job with nothing after `response.in_progress` and claims left is
queued again, its first two events not repeated; any other fails as `worker_lost`, its partial output kept.
"""

import time
from typing import Any, Final

import structlog

from andon import tracing
from andon.errors import ContractError
from andon.frames import decode, encode
from andon.ids import ResponseId, WorkerId
from andon.lease import Leases
from andon.logs import about
from andon.output import OutputFold, output_text
from andon.replies import Claimed, JobView, Outcome, Written
from andon.response import Ending, Status, settlement, terminal_frame, worker_lost
from andon.store import Store
from andon.telemetry import Rescued, StopEnd, StopPath
from andon.tracing import Attribute, Kind, SpanName, trace_fields
from andon.usage import Usage, estimate

_log = structlog.get_logger(__name__)

_FIRST_OUTPUT_NUMBER: Final = 2
# A frozen worker may go on writing until the settle fences it: each round sees more of the log.
_MOST_ROUNDS: Final = 20


class Rescuer:
    """Rescues the jobs of dead workers."""

    def __init__(self, store: Store, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    async def rescue_worker(self, worker_id: WorkerId) -> int:
        """Rescue every job of a worker that has a tombstone; return how many there were. Raises StoreUnavailable."""
        rescued = 0
        for response_id in await self._leases.jobs(worker_id):
            rescued += await self.rescue_job(response_id, worker_id)
            await self._store.forget(worker_id, response_id)
        await self._leases.remove(worker_id)
        return rescued

    async def rescue_job(self, response_id: ResponseId, dead: WorkerId) -> bool:
        """Rescue one job if this dead worker owns it; tell whether it did. Raises StoreUnavailable."""
        for _ in range(_MOST_ROUNDS):
            job = await self._store.job(response_id)
            if job is None or job.state != "running" or job.owner != dead:
                return False
            if await self._try(job):
                return True
        raise ContractError(f"the log of {response_id} grows under its rescue")

    async def _try(self, job: JobView) -> bool:
        """Requeue or settle; False if the log grew meanwhile."""
        claimed, began_at = as_claimed(job), time.time()
        frames = await self._store.log_slice(job.response_id, _FIRST_OUTPUT_NUMBER, -1)
        request: dict[str, Any] = decode(claimed.request)
        fold = OutputFold()
        fold.add_frames(frames)
        output = fold.items()
        usage = estimate(request, output_text(output))
        if job.stop is None and not frames:
            outcome = await self._store.requeue(claimed, usage=encode(usage.to_wire()))
            if outcome.tag is Written.HAS_OUTPUT:
                return False
            if outcome.tag is not Written.SPENT:
                self._store.telemetry.rescued(Rescued.REQUEUED)
                _tell(job, outcome, "rescue.requeued", began_at=began_at)
                return True
        ending = _ending(job, output, usage)
        outcome = await self._settle(job, claimed, ending, _FIRST_OUTPUT_NUMBER + len(frames))
        if outcome.tag in {Written.GAP, Written.STOPPED}:
            return False
        if outcome.tag is Written.SETTLED:
            self._store.telemetry.rescued(Rescued.ENDED)
            if job.stop is not None:
                self._store.telemetry.stopped(StopPath.RESCUE, StopEnd.SETTLED)
        _tell(job, outcome, "rescue.ended", began_at=began_at, ending=ending)
        return True

    async def _settle(self, job: JobView, claimed: Claimed, ending: Ending, number: int) -> Outcome:
        return await self._store.settle(
            claimed,
            number,
            [terminal_frame(number, job.envelope, job.base, ending)],
            status=ending.status,
            settlement=settlement(ending),
            output=ending.output,
            acked_at=None,
            upstream_closed_at=None,
        )


def _tell(job: JobView, outcome: Outcome, event: str, *, began_at: float, ending: Ending | None = None) -> None:
    """Tell of a rescue, in the log and in the trace of the response."""
    whose, status = job.whose, None if ending is None else ending.status
    span = tracing.start(
        SpanName.RESCUE,
        Kind.INTERNAL,
        whose.trace,
        {
            Attribute.RESPONSE_ID: job.response_id,
            Attribute.GEN_AI_CONVERSATION: whose.session,
            Attribute.TENANT: whose.tenant,
            Attribute.WORKER_ID: job.owner,
            Attribute.GENERATION: job.generation,
            Attribute.OUTCOME: outcome.tag,
            Attribute.RESPONSE_STATUS: status,
            Attribute.STOP_BY: None if job.stop is None else job.stop.by,
            Attribute.STOP_RECORDED: None if job.stop is None else job.stop.requested_at,
            Attribute.STOP_CLOSED: job.upstream_closed_at,
            Attribute.STOP_PATH: None if job.stop is None else StopPath.RESCUE,
        },
        began_at=began_at,
    )
    if ending is not None and ending.failure is not None:
        span.fail(ending.failure.cause)
    span.end()
    fields = {**about(job.response_id, whose), **trace_fields(span.context)}
    _log.warning(event, **fields, dead=job.owner, outcome=outcome.tag, status=status)


def as_claimed(job: JobView) -> Claimed:
    """Take the place of a job's dead owner."""
    if job.request is None:
        raise ContractError(f"{job.response_id} runs without a request")
    return Claimed(
        response_id=job.response_id,
        worker_id=job.owner,
        generation=job.generation,
        next_number=0,
        request=job.request,
        envelope=job.envelope,
        base=job.base,
        record=job.record,
        earlier_claims=job.generation - 1,
        whose=job.whose,
    )


def _ending(job: JobView, output: list[dict[str, Any]], usage: Usage) -> Ending:
    if job.stop is None:
        return worker_lost(output, usage)
    # When the upstream was closed is not known, unless the dead worker said so.
    return Ending(Status.CANCELLED, output, usage, stop=job.stop, upstream_closed_at=job.upstream_closed_at)
