"""Response: the object that a client receives, built once and completed at its ending.

Owns the constant members of a Response (its `base`, written to the job hash by the submit), the members that change
with its state (its `state`), and the terminal events. Scripts build the same objects by joining the same two texts,
so there is one shape. Does no I/O.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

from andon.events import ResponseError, ResponseState, StopObject
from andon.frames import encode
from andon.ids import ResponseId
from andon.pieces import Cause, Failure
from andon.usage import Usage


class Status(StrEnum):
    """`response.status`."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL_EVENTS: Final = {
    Status.COMPLETED: "response.completed",
    Status.INCOMPLETE: "response.incomplete",
    Status.FAILED: "response.failed",
    Status.CANCELLED: "response.incomplete",
}

# Members of the create body that a Response repeats, with what it says where the client said nothing.
_REPEATED: Final[dict[str, Any]] = {
    "model": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "previous_response_id": None,
    "reasoning": None,
    "service_tier": None,
    "text": None,
    "top_logprobs": None,
    "truncation": None,
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}


DEADLINE_EXCEEDED: Final = Failure(
    "server_error",
    Cause.DEADLINE_EXCEEDED,
    "The response had not ended by its deadline. Ask for less, or allow more time: `deadline_s`, ANDON_DEADLINE_S.",
)


class Stop(msgspec.Struct, frozen=True):
    """The mark of a stop: who asked, why, when (Unix seconds, Redis' clock)."""

    by: str
    reason: str | None
    requested_at: float


class Ending(msgspec.Struct, frozen=True):
    """How a response ended: what its terminal event says beyond its base."""

    status: Status
    output: list[dict[str, Any]]
    usage: Usage
    failure: Failure | None = None
    incomplete_reason: str | None = None
    stop: Stop | None = None
    # Unix seconds; None if no upstream was ever opened.
    upstream_closed_at: float | None = None
    # What the upstream's final Response says beyond our own members (`service_tier`, ...).
    upstream: dict[str, Any] = {}

    def state(self) -> ResponseState:
        """Return the members of the Response that the ending decides."""
        state: ResponseState = {
            "status": self.status.value,
            "error": None if self.failure is None else error_object(self.failure),
            "incomplete_details": None if self.incomplete_reason is None else {"reason": self.incomplete_reason},
            "output": self.output,
            "usage": self.usage.to_wire(),
        }
        if self.stop is not None:
            state["stop"] = stop_object(self.stop, self.upstream_closed_at)
        return state


def error_object(failure: Failure) -> ResponseError:
    """Shape a failure as `response.error`: OpenAI's code, our precise cause as `type`, the remedy in the message."""
    return {"code": failure.code, "message": failure.message, "type": failure.cause, "param": failure.param}


def stop_object(stop: Stop, upstream_closed_at: float | None) -> StopObject:
    """Shape a stop as `response.stop`."""
    return {
        "by": stop.by,
        "reason": stop.reason,
        "requested_at": stop.requested_at,
        "upstream_closed_at": upstream_closed_at,
    }


def base(
    response_id: ResponseId, body: dict[str, Any], *, created_at: float, is_background: bool = False
) -> dict[str, Any]:
    """Build the constant members of a Response from the create body."""
    members: dict[str, Any] = {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "background": is_background,
    }
    for name, default in _REPEATED.items():
        value = body.get(name)
        members[name] = default if value is None else value
    return members


def open_object(members: dict[str, Any]) -> bytes:
    """Encode an object without its closing brace, so that a script can join further members to it."""
    return encode(members)[:-1]


def terminal_frame(sequence_number: int, envelope: bytes, base_: bytes, ending: Ending) -> bytes:
    """Build the one terminal event. `base_` is the open object that the submit wrote."""
    response = base_
    if ending.upstream:
        response = open_object({**msgspec.json.decode(base_ + b"}"), **_own_members(ending.upstream)})
    return b'{"type":%b,"sequence_number":%d,%b,"response":%b,%b}' % (
        encode(TERMINAL_EVENTS[ending.status]),
        sequence_number,
        envelope,
        response,
        encode(ending.state())[1:],
    )


# What an upstream says of these is not the client's business: they are ours, or the ending decides them.
_OURS: Final = frozenset(
    {
        "id", "object", "created_at", "background", "previous_response_id", "metadata", "store", "conversation",
        "status", "error", "incomplete_details", "output", "usage", "stop", "instructions",
    }
)  # fmt: skip


def _own_members(upstream: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in upstream.items() if name not in _OURS and value is not None}


def settlement(ending: Ending) -> dict[str, Any]:
    """Shape what the settlement record says of an ending."""
    stop = None if ending.stop is None else stop_object(ending.stop, ending.upstream_closed_at)
    cause = None if ending.failure is None else ending.failure.cause
    return {"usage": ending.usage.to_wire(), "stop": stop, "cause": cause}


def worker_lost(output: list[dict[str, Any]], usage: Usage) -> Ending:
    """End a response whose worker died after it had produced output, or too often."""
    message = "The worker that ran this response was lost. Create the response again; the partial output is kept here."
    return Ending(Status.FAILED, output, usage, failure=Failure("server_error", Cause.WORKER_LOST, message))
