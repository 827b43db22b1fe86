"""Job: the state machine of one job, pure.

Owns what each script may do to a job, as a function from a job and a command to a job and the script's tag. The Lua
scripts are this machine made atomic and durable; a model test drives both with the same commands and compares them,
so this file is the one to read when a script's rule is in question. It does no I/O and knows no clock: whether a job
waited too long, or is past its deadline, is told to it.

    submit ──▶ waiting ──promote──▶ queued ──claim──▶ running ──settle──▶ ended
                  │                   │ ▲                │
                  │                   │ └────requeue─────┤ (nothing of the model's in the log, claims left)
                  └────stop, expire───┴──stop, expire──▶ ended        stop of a running job: the mark; its owner settles

A claim of a waiting job whose turn it is does both steps. The log's length counts: `response.created` at the submit or
promotion, `response.in_progress` at the first claim.
"""

from enum import StrEnum
from typing import Final

import msgspec

from andon.ids import WorkerId
from andon.response import Status

CREATED: Final = 1
IN_PROGRESS: Final = 2


class State(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


class Job(msgspec.Struct, frozen=True):
    """A job as its hash tells it. `length`: events in its log. `marked`: a stop was recorded."""

    state: State
    length: int
    generation: int = 0
    owner: WorkerId | None = None
    marked: bool = False
    status: Status | None = None

    def _is_run_by(self, worker: WorkerId, generation: int) -> bool:
        return self.state is State.RUNNING and (self.owner, self.generation) == (worker, generation)


Step = tuple[Job, str]


def submit(*, lane_is_busy: bool) -> Job:
    """Accept a job: queued with its created event, or waiting for its lane with an empty log."""
    return Job(State.WAITING, 0) if lane_is_busy else Job(State.QUEUED, CREATED)


def promote(job: Job, *, is_first_in_lane: bool) -> Step:
    """Give a waiting job its turn."""
    if job.state is not State.WAITING:
        return job, "not_waiting"
    if not is_first_in_lane:
        return job, "lane_busy"
    return msgspec.structs.replace(job, state=State.QUEUED, length=CREATED), "queued"


def claim(
    job: Job,
    worker: WorkerId,
    *,
    is_first_in_lane: bool = False,
    waited_too_long: bool = False,
    past_deadline: bool = False,
) -> Step:
    """Make a worker the owner, under a new generation. A repeat by the owner answers the same.

    A waiting job whose turn it is gets its turn by this: the claim may come between its entry and its promotion.
    """
    match job.state:
        case State.ENDED:
            return job, job.state
        case State.WAITING if not is_first_in_lane:
            return job, job.state
        case State.RUNNING:
            return job, "claimed" if job.owner == worker else "taken"
        case _ if job.marked:
            return _end_unclaimed(job, Status.CANCELLED), "stopped"
        case _ if past_deadline or (waited_too_long and job.state is State.QUEUED):
            return _end_unclaimed(job, Status.FAILED), "expired"
        case _:
            claimed = msgspec.structs.replace(
                job,
                state=State.RUNNING,
                owner=worker,
                generation=job.generation + 1,
                length=max(job.length, IN_PROGRESS),
            )
            return claimed, "claimed"


def append(job: Job, worker: WorkerId, generation: int, first: int, count: int) -> Step:
    """Log events: by the owner, before a mark, at the log's end. A repeat of what is logged changes nothing."""
    if not job._is_run_by(worker, generation):  # noqa: SLF001  the machine's own function
        return job, "fenced"
    if job.marked:
        return job, "stopped"
    if first != job.length:
        return job, "duplicate" if first + count <= job.length else "gap"
    return msgspec.structs.replace(job, length=job.length + count), "ok"


def stop(job: Job) -> Step:
    """Record a stop; settle a job that nobody runs. A repeat asserts the same stop."""
    if job.state is State.ENDED:
        return job, "already_ended"
    marked = msgspec.structs.replace(job, marked=True)
    if job.state is State.RUNNING:
        return marked, "recorded"
    return _end_unclaimed(marked, Status.CANCELLED), "recorded"


def settle(job: Job, worker: WorkerId, generation: int, first: int, *, count: int, status: Status) -> Step:
    """Write the one ending. The mark decides a race: with a mark only `cancelled` is taken."""
    if (job.owner, job.generation) != (worker, generation):
        return job, "fenced"
    if job.state is State.ENDED:
        return job, "already"
    if job.state is not State.RUNNING:
        return job, "fenced"
    if job.marked and status is not Status.CANCELLED:
        return job, "stopped"
    if first != job.length:
        return job, "gap"
    return msgspec.structs.replace(job, state=State.ENDED, status=status, length=job.length + count), "settled"


def requeue(  # noqa: PLR0911  one answer a rule, in the script's order
    job: Job, worker: WorkerId, generation: int, *, most_claims: int
) -> Step:
    """Take a job from its owner for another claim, while the log holds nothing of the model's."""
    if job.state is State.ENDED:
        return job, "ended"
    if job.state is State.QUEUED and job.generation == generation:
        return job, "queued"
    if not job._is_run_by(worker, generation):  # noqa: SLF001  the machine's own function
        return job, "fenced"
    if job.length > IN_PROGRESS:
        return job, "has_output"
    if job.marked:
        return _end_unclaimed(job, Status.CANCELLED), "stopped"
    if job.generation >= most_claims:
        return job, "spent"
    return msgspec.structs.replace(job, state=State.QUEUED, owner=None), "queued"


def expire(job: Job, *, waited_too_long: bool, past_deadline: bool = False) -> Step:
    """End a job that no worker took in time: queued for too long, or queued or waiting past its deadline."""
    if job.state is not State.QUEUED and not (job.state is State.WAITING and past_deadline):
        return job, "not_queued"
    if job.marked:
        return _end_unclaimed(job, Status.CANCELLED), "stopped"
    if not (waited_too_long or past_deadline):
        return job, "in_time"
    return _end_unclaimed(job, Status.FAILED), "expired"


def _end_unclaimed(job: Job, status: Status) -> Job:
    """End a job that nobody runs: its created event is logged first if it waited."""
    return msgspec.structs.replace(job, state=State.ENDED, status=status, length=max(job.length, CREATED) + 1)
