"""Ending: how a Response's end is told in a chat's words: finish reason, usage, error.

A stopped response has no word of its own there: its `finish_reason` is `stop`, so that no client goes on where its
user said stop, and a member `stop` beside it says who stopped it and why.
"""

from http import HTTPStatus
from typing import Any, Final

from andon.pieces import Cause

_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
# The causes that the client can mend; the rest are ours or the model server's.
_STATUSES: Final = {
    Cause.UPSTREAM_REJECTED: HTTPStatus.BAD_REQUEST,
    Cause.UNSUPPORTED_PARAMETER: HTTPStatus.BAD_REQUEST,
    Cause.PREVIOUS_RESPONSE_NOT_FOUND: HTTPStatus.BAD_REQUEST,
    Cause.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Cause.UPSTREAM_RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
}


def finish_reason(response: dict[str, Any], *, has_calls: bool) -> str:
    """Say why the output ends."""
    if response["status"] == "completed":
        return "tool_calls" if has_calls else "stop"
    details = response.get("incomplete_details") or {}
    return _REASONS.get(details.get("reason", ""), "stop")


def stop_member(response: dict[str, Any]) -> dict[str, Any]:
    """Return what a stopped response says beyond a chat's own words."""
    return {"stop": response["stop"]} if "stop" in response else {}


def chat_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Map the usage."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["input_tokens_details"]["cached_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"]},
        "source": usage["source"],
    }


def failure_body(response: dict[str, Any]) -> dict[str, Any]:
    """Shape a failed response as OpenAI's error body."""
    error = response["error"]
    return {"error": {name: error.get(name) for name in ("type", "code", "message", "param")}}


def failure_status(response: dict[str, Any]) -> int:
    """Return the HTTP status of a failed response."""
    return int(_STATUSES.get(response["error"]["type"], HTTPStatus.BAD_GATEWAY))
