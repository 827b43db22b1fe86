"""Ending: what a verdict becomes on the wire.

Owns the choice of status, usage and stop for each verdict. Pure: no I/O, no clock.
"""

from typing import Any, assert_never

from andon.pieces import Cause, Failure, Finish
from andon.response import Ending, Status, Stop
from andon.settings import DrainEnding
from andon.usage import NO_REQUEST, Usage, estimate, from_upstream
from worker.verdict import Drained, Failed, Finished, Stopped

_SHUTDOWN = Failure(
    "server_error", Cause.SHUTDOWN, "The worker shut down before the response was done. Create it again."
)


def usage_of(
    finish: Finish | None,
    usage_so_far: dict[str, Any] | None,
    *,
    opened: bool,
    request: dict[str, Any],
    received_text: str,
) -> Usage:
    """Tell what a run cost: what the upstream told, else a count of all that was received.

    Text that was received but never logged counts: the provider bills it.
    """
    told = finish.usage if finish is not None and finish.usage is not None else usage_so_far
    if told is not None:
        return from_upstream(told)
    return estimate(request, received_text) if opened else NO_REQUEST


def ending_of(
    verdict: Stopped | Finished | Failed | Drained,
    *,
    output: list[dict[str, Any]],
    usage: Usage,
    upstream_closed_at: float | None,
    drain_ending: DrainEnding,
) -> Ending:
    """Decide the ending of a run."""
    match verdict:
        case Finished(finish):
            return _finished(finish, output, usage)
        case Failed(failure):
            return Ending(Status.FAILED, output, usage, failure=failure)
        case Drained() if drain_ending is DrainEnding.FAILED:
            return Ending(Status.FAILED, output, usage, failure=_SHUTDOWN)
        case Drained(heard_at):
            stop = Stop("andon", "shutdown", heard_at)
        case Stopped(stop):
            pass
        case other:
            assert_never(other)
    return Ending(Status.CANCELLED, output, usage, stop=stop, upstream_closed_at=upstream_closed_at)


def _finished(finish: Finish, output: list[dict[str, Any]], usage: Usage) -> Ending:
    upstream = finish.response
    match finish.status:
        case "completed":
            # Where the upstream said the whole output itself, it is the better witness of its own items.
            return Ending(Status.COMPLETED, upstream.get("output") or output, usage, upstream=upstream)
        case "incomplete":
            output = upstream.get("output") or output
            return Ending(
                Status.INCOMPLETE, output, usage, incomplete_reason=finish.incomplete_reason, upstream=upstream
            )
        case "failed":
            failure = finish.failure or Failure("server_error", Cause.UPSTREAM_ERROR, "The model server failed.")
            return Ending(Status.FAILED, output, usage, failure=failure, upstream=upstream)
