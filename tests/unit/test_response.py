from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from andon.frames import decode, encode, envelope
from andon.ids import ResponseId
from andon.pieces import Cause, Failure
from andon.response import (
    TERMINAL_EVENTS,
    Ending,
    Status,
    Stop,
    base,
    error_object,
    open_object,
    terminal_frame,
    worker_lost,
)
from andon.usage import NO_REQUEST, Usage
from tests.unit.pieces import message
from tests.unit.test_output import folded

RID = ResponseId("resp_x")
USAGE = Usage(input_tokens=3, output_tokens=4, source="upstream", reasoning_tokens=1)
BODY: dict[str, Any] = {"model": "m", "input": "hi", "metadata": {"k": "v"}, "temperature": 0.5, "tools": None}
STOP = Stop("client", "enough", 1.5)
FAILURE = Failure("server_error", Cause.UPSTREAM_CUT, "It broke. Try again.")
PARTIAL = folded(message(0, ["a"], [], 0)[:3])

ENDINGS = {
    Status.COMPLETED: Ending(Status.COMPLETED, [], USAGE),
    Status.INCOMPLETE: Ending(Status.INCOMPLETE, PARTIAL, USAGE, incomplete_reason="max_output_tokens"),
    Status.FAILED: Ending(Status.FAILED, PARTIAL, USAGE, failure=FAILURE),
    Status.CANCELLED: Ending(Status.CANCELLED, PARTIAL, USAGE, stop=STOP, upstream_closed_at=2.5),
}
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def terminal(ending: Ending, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build and decode a terminal event."""
    text = open_object(base(RID, body or BODY, created_at=1.25))
    event: dict[str, Any] = decode(terminal_frame(9, envelope(RID, "lane"), text, ending))
    return event


@pytest.mark.parametrize("status", ENDINGS)
def test_a_terminal_event_is_what_the_sdk_expects(status: Status) -> None:
    """Each status has its event type, and the SDK's own model reads it."""
    event = terminal(ENDINGS[status])
    assert event["type"] == TERMINAL_EVENTS[status]
    assert (event["sequence_number"], event["response_id"], event["stream_id"]) == (9, RID, "lane")
    model = _EVENT.validate_python(event)
    assert model.type == event["type"]
    Response.model_validate(event["response"])
    assert event["response"]["status"] == status
    assert event["response"]["usage"] == USAGE.to_wire()
    assert event["response"]["metadata"] == {"k": "v"}
    assert event["response"]["created_at"] == 1.25


def test_only_a_stopped_ending_carries_a_stop() -> None:
    """`stop` says who, why, when, and when the upstream was closed; `incomplete_details` stays null."""
    assert terminal(ENDINGS[Status.CANCELLED])["response"]["stop"] == {
        "by": "client",
        "reason": "enough",
        "requested_at": 1.5,
        "upstream_closed_at": 2.5,
    }
    assert terminal(ENDINGS[Status.CANCELLED])["response"]["incomplete_details"] is None
    for status in (Status.COMPLETED, Status.INCOMPLETE, Status.FAILED):
        assert "stop" not in terminal(ENDINGS[status])["response"]


def test_details_and_error_are_where_they_belong() -> None:
    """Null wherever they do not apply, as OpenAI has them."""
    assert terminal(ENDINGS[Status.INCOMPLETE])["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert terminal(ENDINGS[Status.COMPLETED])["response"]["error"] is None
    assert terminal(ENDINGS[Status.FAILED])["response"]["error"] == error_object(FAILURE)
    assert error_object(FAILURE)["type"] == "upstream_cut"


def test_what_the_client_left_out_has_openais_default() -> None:
    """The SDK's Response demands these members non-null."""
    made = base(RID, {"model": "m"}, created_at=1.0)
    assert (made["tool_choice"], made["tools"], made["parallel_tool_calls"], made["metadata"]) == ("auto", [], True, {})
    assert base(RID, {"model": "m", "parallel_tool_calls": False}, created_at=1.0)["parallel_tool_calls"] is False


def test_the_upstreams_members_never_overrule_ours() -> None:
    """Ids, times, status, output and usage are ours; what it says beyond them goes out."""
    upstream = {"id": "resp_theirs", "status": "completed", "service_tier": "flex", "model": "m-2026", "created_at": 9,
                "output": ["x"], "usage": {}, "metadata": {}, "text": None}  # fmt: skip
    response = terminal(Ending(Status.COMPLETED, [], USAGE, upstream=upstream))["response"]
    assert (response["service_tier"], response["model"]) == ("flex", "m-2026")
    assert (response["id"], response["created_at"], response["output"], response["metadata"]) == (
        RID, 1.25, [], {"k": "v"},
    )  # fmt: skip
    assert response["usage"] == USAGE.to_wire()


def test_an_open_object_is_joined_with_further_members() -> None:
    """Base and state are two texts of one object: the form that scripts join."""
    state = ENDINGS[Status.COMPLETED].state()
    joined = decode(open_object(base(RID, BODY, created_at=1.0)) + b"," + encode(state)[1:])
    assert joined == {**base(RID, BODY, created_at=1.0), **state}


def test_a_lost_worker_is_a_failure_that_keeps_the_partial_output() -> None:
    """Its cause is precise and its code one of the SDK's literals."""
    response = terminal(worker_lost(PARTIAL, NO_REQUEST))["response"]
    assert (response["error"]["code"], response["error"]["type"]) == ("server_error", "worker_lost")
    assert response["output"] == PARTIAL
    Response.model_validate(response)
