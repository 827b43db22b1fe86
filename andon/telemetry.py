"""Telemetry: what a process tells of itself, one method for each thing that happened.

Owns the words: what may be told, and the closed sets of how. Does not own who listens; by default nobody does, and
telling costs a call. Whoever holds the store tells through `store.telemetry`, so that no constructor in between carries
it. None of the methods waits or fails.
"""

from enum import StrEnum
from typing import Final

from andon.pieces import Cause
from andon.replies import StopOutcome
from andon.response import Status


class StopPath(StrEnum):
    """What carried a stop to where it took effect."""

    HINT = "hint"  # the published message
    APPEND = "append"  # the reply to an append, or to a settlement
    BEAT = "beat"  # the mark, read at the beat
    SUBSCRIBE = "subscribe"  # the mark, read when a subscription was confirmed anew
    CLAIM = "claim"  # the mark, found by a claim: no request was made
    REQUEUE = "requeue"  # the mark, found by a worker that gave the job back
    SWITCH = "switch"  # no mark: the worker lost its lease and closed what it ran
    UNCLAIMED = "unclaimed"  # nobody had the job: the stop's own script, or a sweep, ended it
    RESCUE = "rescue"  # the mark, found by whoever ended the jobs of a dead worker


class StopEnd(StrEnum):
    """What became of a stop that took effect."""

    SETTLED = "settled"  # written as the response's ending
    LEFT = (
        "left"  # the upstream is closed, and the ending was another's to write: the job was not this worker's any more
    )


class Renewal(StrEnum):
    """What became of a renewal of the lease."""

    RENEWED = "renewed"
    MISSED = "missed"  # Redis did not answer
    REFUSED = "refused"  # this id was declared dead


class DrainStep(StrEnum):
    """How far a drain got."""

    BEGUN = "begun"
    CLEAN = "clean"  # everything had gone by itself, or in time
    CUT = "cut"  # something was still there at its deadline


class Rescued(StrEnum):
    """What became of a job of a dead worker."""

    REQUEUED = "requeued"
    ENDED = "ended"


class Telemetry:
    """Nobody listens. Whoever does overrides what it wants to hear."""

    # ── gateways and workers ─────────────────────────────────────────────────────────────────────────────────────

    def stopped(self, path: StopPath, end: StopEnd) -> None:
        """Hear that a stop took effect."""

    def ended(self, status: Status) -> None:
        """Hear that this process wrote the ending of a response."""

    def settled_tokens(self, source: str, output_tokens: int) -> None:
        """Hear what an ending cost. `source`: `upstream` or `estimated`."""

    def rescued(self, what: Rescued) -> None:
        """Hear that this process took care of a dead worker's job."""

    def drain(self, step: DrainStep) -> None:
        """Hear of a drain."""

    # ── gateways ─────────────────────────────────────────────────────────────────────────────────────────────────

    def create_accepted(self) -> None:
        """Hear that a create was accepted, or found what an earlier one of its key had made."""

    def create_refused(self, code: str) -> None:
        """Hear that a create was refused with this code."""

    def stop_asked(self, outcome: StopOutcome | None) -> None:
        """Hear what a stop found that somebody asked for; None: it could not be recorded."""

    def stop_asserted_again(self) -> None:
        """Hear that a stop was sent again that was not seen settled."""

    def gap_found(self) -> None:
        """Hear that published events were missed, or may have been, and are read from the log."""

    def reader_too_slow(self) -> None:
        """Hear that a connection was closed with 3008."""

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def run_begun(self) -> None:
        """Hear that a run begins."""

    def run_over(self) -> None:
        """Hear that a run is over."""

    def lease(self, renewal: Renewal) -> None:
        """Hear what became of a renewal of the lease."""

    def first_text(self, after_s: float) -> None:
        """Hear that a run has its first text, so long after it was claimed."""

    def upstream_failed(self, cause: Cause) -> None:
        """Hear that a request to the model failed, those included that are tried again."""

    def upstream_closed(self, path: StopPath, *, requested_at: float, closed_at: float) -> None:
        """Hear that a stop closed an upstream. `requested_at` is on Redis' clock, `closed_at` on this machine's."""

    def threw_away(self, text: str) -> None:
        """Hear what was received and kept out of the log by a stop."""


SILENT: Final = Telemetry()
