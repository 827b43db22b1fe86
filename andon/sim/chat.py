"""The Chat Completions API's wire form of an answer: its chunks, and the unstreamed object.

Owns the chunks and their order: the role first, then content, then the finish, then the usage if it was asked for,
then `[DONE]`. Does not own the pace. Guarantees: each chunk validates against the official SDK's types.
"""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from andon.sim.ask import Ask
from andon.sim.faults import Voice
from andon.sim.frames import Frame
from andon.sim.plan import Item, Part, Plan
from andon.sim.response_object import FAILED

_encode = msgspec.json.Encoder().encode

_MARK = "\0"  # stands for a token in the template of a delta; JSON writes it as the six bytes below
_MARK_JSON = b'"\\u0000"'


class ChatAnswer:
    """One answer as Chat Completions chunks."""

    def __init__(self, ask: Ask, plan: Plan) -> None:
        self._ask = ask
        self._plan = plan
        self._bare = ask.behaviour.voice is Voice.BARE
        unique = secrets.token_hex(16)
        self._id = f"chatcmpl-{unique}"
        self._created = int(time.time())
        self._calls = [item for item in plan.items if item.kind == "function_call"]
        self._call_ids = [f"call_{unique}{index:02x}" for index in range(len(self._calls))]
        # Tokens streamed so far, for the running usage.
        self._sent = 0

    def frames(self) -> Iterator[Frame]:
        """Stream the whole answer."""
        role: dict[str, Any] = {"role": "assistant", "content": None if self._calls else ""}
        yield self._chunk(role if self._bare else {**role, "refusal": None}), 0
        call = 0
        for item in self._plan.items:
            if item.kind == "function_call":
                yield self._chunk(self._opened_call(call, item)), 0
            for part in item.parts:
                yield from self._deltas(part, call)
            call += item.kind == "function_call"
        yield self._chunk({}, finish=self._finish()), 0
        if self._ask.include_usage:
            yield _data({**self._head(), "choices": [], "usage": self._usage(self._ask.n)}), 0
        yield b"data: [DONE]\n\n", 0

    def error(self) -> bytes:
        """Break the stream off with an error, as OpenAI's and vLLM's servers do."""
        return _data({"error": {**FAILED, "type": "server_error", "param": None}})

    def failed(self) -> bytes:
        """Break the stream off; a chat has no failed state of its own."""
        return self.error()

    def whole(self) -> bytes:
        """Give the completion unstreamed."""
        message: dict[str, Any] = {"role": "assistant", "content": self._said("text")}
        if not self._bare:
            message |= {"refusal": self._said("refusal"), "annotations": []}
        if reasoning := self._said("summary", "reasoning_text"):
            message["reasoning_content"] = reasoning
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": self._call_ids[index],
                    "type": "function",
                    "function": {"name": item.name, "arguments": "".join(part.text for part in item.parts)},
                }
                for index, item in enumerate(self._calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish()}
        head = {**self._head(), "object": "chat.completion"}
        return _encode({**head, "choices": [choice], "usage": self._usage(self._ask.n)})

    def whole_failed(self) -> None:
        """Have no failed answer: an HTTP error it is."""
        return

    def _deltas(self, part: Part, call: int) -> Iterator[Frame]:
        """Stream a part, all JSON but the token (and the running usage) made once."""
        head, tail = self._chunk(_delta(part, call), blank_usage=not self._ask.continuous_usage).rsplit(_MARK_JSON, 1)
        for piece in part.pieces:
            self._sent += 1
            if self._ask.continuous_usage:
                head, tail = self._chunk(_delta(part, call)).rsplit(_MARK_JSON, 1)
            yield b"%b%b%b" % (head, _encode(piece), tail), 1

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, blank_usage: bool = False) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {**self._head(), "choices": [choice if self._bare else {**choice, "logprobs": None}]}
        if self._ask.continuous_usage and not blank_usage:
            chunk["usage"] = self._usage(self._sent)
        elif self._ask.include_usage:
            chunk["usage"] = None
        return _data(chunk)

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {"id": self._id, "object": "chat.completion.chunk", "created": self._created}
        head["model"] = self._ask.model
        return head if self._bare else {**head, "service_tier": "default", "system_fingerprint": "fp_sim"}

    def _opened_call(self, call: int, item: Item) -> dict[str, Any]:
        function = {"name": item.name, "arguments": ""}
        return {"tool_calls": [{"index": call, "id": self._call_ids[call], "type": "function", "function": function}]}

    def _said(self, *kinds: str) -> str | None:
        parts = [part.text for item in self._plan.items for part in item.parts if part.kind in kinds]
        return "".join(parts) if parts else None

    def _finish(self) -> str:
        if self._plan.cut:
            return "length"
        return "tool_calls" if self._calls else "stop"

    def _usage(self, completion: int) -> dict[str, Any]:
        prompt = self._ask.input_tokens
        sums = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        if self._bare:
            return sums
        # While running, thought comes first, so all of it is thought until there is more.
        thought = min(completion, self._plan.reasoning_tokens)
        return {
            **sums,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }


def _delta(part: Part, call: int) -> dict[str, Any]:
    match part.kind:
        case "text":
            return {"content": _MARK}
        case "refusal":
            return {"refusal": _MARK}
        case "arguments":
            return {"tool_calls": [{"index": call, "function": {"arguments": _MARK}}]}
        case _:
            return {"reasoning_content": _MARK}


def _data(body: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(body)
