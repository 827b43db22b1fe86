"""Events: the bytes of an answer in both APIs, HTTP chunks around them, made ahead as far as they can be.

Owns the form: what the official SDK parses, event for event as the APIs send it, one HTTP chunk a token. Does not own
time. A token costs two concatenations.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

_encode = msgspec.json.Encoder().encode

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_MARK_BYTES: Final = 10
_OPENING_EVENTS: Final = 4
_CREATED_AT: Final = 1_700_000_000
_ITEM: Final = {"id": "msg_bench", "type": "message", "role": "assistant"}
_PLACE: Final = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}


class Api(Protocol):
    """One API's wire form."""

    # Everything before the first token.
    opening: bytes

    def token(self, number: int, mark: bytes) -> bytes:
        """Return the chunk of a token, the first of which has number 0."""

    def ending(self, marks: Sequence[bytes]) -> bytes:
        """Return everything after the last token, the end of the body included."""


def chunk(data: bytes) -> bytes:
    """Return an HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Responses:
    """The Responses API."""

    def __init__(self) -> None:
        self.opening = HEAD + chunk(
            self._event(0, "response.created", response=_response("in_progress"))
            + self._event(1, "response.in_progress", response=_response("in_progress"))
            + self._event(
                2,
                "response.output_item.added",
                output_index=0,
                item={**_ITEM, "status": "in_progress", "content": []},
            )
            + self._event(3, "response.content_part.added", **_PLACE, part=_part(""))
        )
        whole = self._event(0, "response.output_text.delta", **_PLACE, delta="?", logprobs=[])
        self._before, _, after = whole.partition(b'"?"')
        self._before += b'"'
        self._between = b'"' + after.removesuffix(b"0}\n\n")
        # By the sequence number: what follows the mark; grows as longer answers are asked for.
        self._after: list[bytes] = []
        # By the digits of the sequence number: what goes before the mark, the chunk's size included.
        self._heads: list[bytes] = []

    def token(self, number: int, mark: bytes) -> bytes:
        """Return the chunk of a token."""
        if number >= len(self._after):
            self._grow(number + 1000)
        after, head = self._after[number], self._heads[number]
        return head + mark + after

    def ending(self, marks: Sequence[bytes]) -> bytes:
        """Return what ends an answer."""
        text, number = b"".join(marks).decode(), _OPENING_EVENTS + len(marks)
        item = {**_ITEM, "status": "completed", "content": [_part(text)]}
        usage = {
            "input_tokens": 8,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": len(marks),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 8 + len(marks),
        }
        done = {**_response("completed"), "output": [item], "usage": usage}
        return (
            chunk(
                self._event(number, "response.output_text.done", **_PLACE, text=text, logprobs=[])
                + self._event(number + 1, "response.content_part.done", **_PLACE, part=_part(text))
                + self._event(number + 2, "response.output_item.done", output_index=0, item=item)
                + self._event(number + 3, "response.completed", response=done)
            )
            + b"0\r\n\r\n"
        )

    def _grow(self, to: int) -> None:
        fixed = len(self._before) + _MARK_BYTES + len(self._between) + len(b"}\n\n")
        for number in range(len(self._after), to):
            digits = b"%d" % (number + _OPENING_EVENTS)
            self._after.append(b"%b%b}\n\n\r\n" % (self._between, digits))
            self._heads.append(b"%x\r\n%b" % (fixed + len(digits), self._before))

    @staticmethod
    def _event(number: int, name: str, **body: Any) -> bytes:
        data = _encode({"type": name, **body, "sequence_number": number})
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


class Chat:
    """The Chat Completions API."""

    def __init__(self) -> None:
        self.opening = HEAD + chunk(_choice({"role": "assistant", "content": "", "refusal": None}))
        token = chunk(_choice({"content": "?" * _MARK_BYTES}))
        self._before, _, self._after = token.partition(b"?" * _MARK_BYTES)

    def token(self, number: int, mark: bytes) -> bytes:
        """Return the chunk of a token: its number is not in it."""
        del number
        return self._before + mark + self._after

    def ending(self, marks: Sequence[bytes]) -> bytes:
        """Return what ends an answer, usage included: few would send it unasked, and no client minds."""
        usage = {"prompt_tokens": 8, "completion_tokens": len(marks), "total_tokens": 8 + len(marks)}
        last = _data({**_CHAT_HEAD, "choices": [], "usage": usage})
        return chunk(_choice({}, "stop") + last + b"data: [DONE]\n\n") + b"0\r\n\r\n"


_CHAT_HEAD: Final = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": _CREATED_AT,
    "model": "bench",
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}


def _choice(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({**_CHAT_HEAD, "choices": [choice], "usage": None})


def _data(body: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(body)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _response(status: str) -> dict[str, Any]:
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": _CREATED_AT,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": "bench",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }
