"""Chat chunks: a response's events as `chat.completion.chunk`s.

Owns their order: the role first, then what the model says, then the finish, then the usage if it was asked for, then
`[DONE]`. A failed response, and a body that ends early, is an `error` instead, nested as a chat has it.
"""

from collections.abc import Mapping
from typing import Any, Final

from andon.errors import ToldError, error_body
from andon.frames import decode, encode
from andon.ids import ResponseId
from gateway.http.chat.ending import chat_usage, failure_body, finish_reason, stop_member

_DONE: Final = b"data: [DONE]\n\n"
# Where the text of each delta goes; `reasoning_content` is what the servers that tell reasoning call it.
_SAID: Final = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}


class ChatChunks:
    """Writes one response. Meets `event_stream.Writer`."""

    def __init__(self, response_id: ResponseId, *, include_usage: bool) -> None:
        self._head: dict[str, Any] = {"id": response_id, "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._include_usage = include_usage
        # Output index of each call to its index among the calls.
        self._calls: dict[int, int] = {}

    def event(self, frame: bytes) -> bytes:
        """Write what an event says; nothing for those that a chat has no word for."""
        event = decode(frame)
        match event["type"]:
            case "response.created":
                response = event["response"]
                self._head |= {"created": int(response["created_at"]), "model": response["model"]}
                return self._chunk({"role": "assistant", "content": ""})
            case "response.completed" | "response.incomplete":
                return self._ending(event["response"])
            case "response.failed":
                return _data(failure_body(event["response"]))
            case _:
                delta = self._delta(event)
                return b"" if delta is None else self._chunk(delta)

    def early_end(self, error: ToldError, delivered: int) -> bytes:  # noqa: ARG002  a chat numbers nothing
        """Write that the body ends before the response does."""
        return _data(error_body(error))

    def _delta(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Map what the model said; None where a chat has no word for it."""
        type_ = event["type"]
        if type_ in _SAID:
            return {_SAID[type_]: event["delta"]}
        if type_ == "response.output_item.added" and event["item"]["type"] == "function_call":
            item = event["item"]
            index = self._calls[event["output_index"]] = len(self._calls)
            function = {"name": item["name"], "arguments": item.get("arguments") or ""}
            return {"tool_calls": [{"index": index, "id": item["call_id"], "type": "function", "function": function}]}
        if type_ == "response.function_call_arguments.delta" and event["output_index"] in self._calls:
            call = {"index": self._calls[event["output_index"]], "function": {"arguments": event["delta"]}}
            return {"tool_calls": [call]}
        return None

    def _ending(self, response: dict[str, Any]) -> bytes:
        finish = finish_reason(response, has_calls=bool(self._calls))
        ending = self._chunk({}, finish, **stop_member(response))
        if self._include_usage:
            ending += _data({**self._head, "choices": [], "usage": chat_usage(response["usage"])})
        return ending + _DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **members: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._include_usage else {}
        return _data({**self._head, "choices": [choice], **usage, **members})


def _data(body: Mapping[str, object]) -> bytes:
    return b"data: %b\n\n" % encode(body)
