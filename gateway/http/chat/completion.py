"""Completion: an ended Response as one `chat.completion`."""

from typing import Any, Literal, NotRequired, TypedDict

from starlette.responses import Response

from andon.events import StopObject
from andon.frames import decode, encode
from andon.ids import ResponseId
from gateway.http.chat.ending import chat_usage, failure_body, failure_status, finish_reason


class ChatCompletion(TypedDict):
    """OpenAI's completion, with what Andon adds: `stop`, of a stopped one."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    stop: NotRequired[StopObject]


def completion(response_id: ResponseId, frame: bytes) -> Response:
    """Write a terminal event: the completion, or, for a failed response, an error with its status."""
    response: dict[str, Any] = decode(frame)["response"]
    if response["status"] == "failed":
        return Response(encode(failure_body(response)), failure_status(response), media_type="application/json")
    calls = [_call(item) for item in response["output"] if item["type"] == "function_call"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _said(response, "text"),
        "refusal": _said(response, "refusal"),
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = calls
    if reasoning := _reasoning(response):
        message["reasoning_content"] = reasoning
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(response, has_calls=bool(calls)),
    }
    body: ChatCompletion = {
        "id": response_id,
        "object": "chat.completion",
        "created": int(response["created_at"]),
        "model": response["model"],
        "choices": [choice],
        "usage": chat_usage(response["usage"]),
    }
    if "stop" in response:
        body["stop"] = response["stop"]
    return Response(encode(body), media_type="application/json")


def _said(response: dict[str, Any], member: str) -> str | None:
    messages = (item for item in response["output"] if item["type"] == "message")
    parts = [part for item in messages for part in item.get("content") or ()]
    return "".join(part[member] for part in parts if part.get(member)) or None


def _reasoning(response: dict[str, Any]) -> str:
    items = [item for item in response["output"] if item["type"] == "reasoning"]
    parts = [part for item in items for home in ("summary", "content") for part in item.get(home) or ()]
    return "".join(part.get("text") or "" for part in parts)


def _call(item: dict[str, Any]) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item.get("arguments") or ""}
    return {"id": item["call_id"], "type": "function", "function": function}
