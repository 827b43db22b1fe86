"""Verdict: why a run ends. It is recorded before anything is cancelled, and the first one stays.

Owns the closed list of reasons. What is written for each is the scribe's.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from andon.pieces import Failure, Finish
from andon.response import Stop
from andon.telemetry import StopPath


class Stopped(msgspec.Struct, frozen=True):
    """A mark was seen. `heard_at`: Unix seconds, this worker's clock."""

    stop: Stop
    heard_at: float
    path: StopPath = StopPath.APPEND


class Finished(msgspec.Struct, frozen=True):
    """The upstream came to its own end."""

    finish: Finish


class Failed(msgspec.Struct, frozen=True):
    """The run cannot go on, for a reason that the client is told."""

    failure: Failure


class Drained(msgspec.Struct, frozen=True):
    """The worker shuts down and this run did not finish in time. `heard_at`: Unix seconds."""

    heard_at: float


class Loss(StrEnum):
    """Why nothing more may be written for this job by this worker."""

    FENCED = "fenced"  # another owner or generation, or ended by a rescuer
    GONE = "gone"  # Redis itself lost the job
    CUT = "cut"  # a failover lost the end of its log; a rescuer ends it by what is left
    LEASE = "lease"  # the dead-man's switch fired, or a tombstone was found


class Abandoned(msgspec.Struct, frozen=True):
    """The job is no longer this worker's to write."""

    loss: Loss


Verdict: TypeAlias = Stopped | Finished | Failed | Drained | Abandoned
