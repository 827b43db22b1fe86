from typing import Any

import pytest

from andon.pieces import Cause, Failure, Finish
from andon.response import Status, Stop
from andon.settings import DrainEnding
from andon.usage import NO_REQUEST, Usage
from worker.ending import ending_of, usage_of
from worker.verdict import Drained, Failed, Finished, Stopped

TOLD = Usage(input_tokens=5, output_tokens=6, source="upstream")
OUTPUT: list[dict[str, Any]] = [{"type": "message", "status": "incomplete"}]
FAILURE = Failure("server_error", Cause.RUN_TIMEOUT, "Too long.")
STOP = Stop("client", "enough", 1.0)


def usage(finish: Finish | None = None, so_far: dict[str, Any] | None = None, *, opened: bool = True) -> Usage:
    """Tell the usage of a run that received two tokens."""
    return usage_of(finish, so_far, opened=opened, request={"input": "hello world"}, received_text="hello world")


def test_usage_is_what_the_upstream_told_in_the_end() -> None:
    """Its own final word is exact, also at a stop that came too late for it."""
    finish = Finish("completed", {}, {**TOLD.to_wire()})
    assert usage(finish, {"input_tokens": 1}) == TOLD
    assert usage(Finish("failed", {}, None), {**TOLD.to_wire()}) == TOLD
    assert usage(None, {**TOLD.to_wire()}) == TOLD


def test_usage_that_nobody_told_is_counted_and_says_so() -> None:
    """Prompt and all text received, logged or not."""
    assert usage() == Usage(input_tokens=2, output_tokens=2, source="estimated")
    assert usage(Finish("failed", {}, None)).source == "estimated"


def test_a_run_that_made_no_request_costs_nothing() -> None:
    """Stopped before the connection: exactly zero, not an estimate of the prompt."""
    assert usage(opened=False) == NO_REQUEST


def ending(verdict: Stopped | Finished | Failed | Drained, drain: DrainEnding = DrainEnding.CANCELLED) -> Any:
    """Decide the ending of a run whose upstream was closed at 9."""
    return ending_of(verdict, output=OUTPUT, usage=TOLD, upstream_closed_at=9.0, drain_ending=drain)


def test_a_stop_is_cancelled_with_the_partial_output() -> None:
    """The stop's own words, and when the upstream was closed."""
    made = ending(Stopped(STOP, heard_at=2.0))
    assert (made.status, made.output, made.stop, made.upstream_closed_at) == (Status.CANCELLED, OUTPUT, STOP, 9.0)
    assert made.failure is None


def test_a_drain_is_cancelled_by_andon_or_failed_as_it_is_set() -> None:
    """The two ways of a drain that had to cut a run short."""
    cancelled = ending(Drained(heard_at=3.0))
    assert (cancelled.status, cancelled.stop) == (Status.CANCELLED, Stop("andon", "shutdown", 3.0))
    failed = ending(Drained(heard_at=3.0), DrainEnding.FAILED)
    assert failed.status is Status.FAILED
    assert failed.failure.cause is Cause.SHUTDOWN
    assert failed.stop is None


def test_a_failure_of_the_run_is_a_failed_response() -> None:
    """With its precise cause and its partial output."""
    made = ending(Failed(FAILURE))
    assert (made.status, made.failure, made.output, made.stop) == (Status.FAILED, FAILURE, OUTPUT, None)


@pytest.mark.parametrize("told", [None, [], [{"type": "message", "id": "theirs"}]])
def test_a_finish_takes_the_upstreams_own_output_where_it_has_one(told: list[dict[str, Any]] | None) -> None:
    """It is the better witness of its own items; else what was folded stands."""
    made = ending(Finished(Finish("completed", {"output": told, "model": "m-1"}, None)))
    assert made.status is Status.COMPLETED
    assert made.output == (told or OUTPUT)
    assert made.upstream["model"] == "m-1"


def test_an_incomplete_finish_keeps_its_reason_and_a_failed_one_its_failure() -> None:
    """A length limit is no failure; a failure without words gets some."""
    cut = ending(Finished(Finish("incomplete", {}, None, incomplete_reason="max_output_tokens")))
    assert (cut.status, cut.incomplete_reason) == (Status.INCOMPLETE, "max_output_tokens")
    failed = ending(Finished(Finish("failed", {}, None, failure=FAILURE)))
    assert (failed.status, failed.failure) == (Status.FAILED, FAILURE)
    assert ending(Finished(Finish("failed", {}, None))).failure.cause is Cause.UPSTREAM_ERROR
