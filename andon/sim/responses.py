"""The Responses API's wire form of an answer: its event sequence, number by number.

Owns the events and their order. Does not own the objects within (`andon.sim.response_object`) nor the pace.

Guarantees: the sequence is that of the real API, `sequence_number` counts from 0 without a gap, and each event
validates against the official SDK's types (not so for `sim-bare`, on purpose). A delta costs one concatenation: all
of its JSON but the text and the number is made once for each part.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from andon.sim.ask import Ask
from andon.sim.frames import Frame
from andon.sim.plan import Part, Plan
from andon.sim.response_object import FAILED, ResponseObject, final_status, is_content

_encode = msgspec.json.Encoder().encode

# Part kind: event name without its last word, and the name of the whole in its done event.
_EVENTS = {
    "text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "summary": ("response.reasoning_summary_text", "text"),
    "reasoning_text": ("response.reasoning_text", "text"),
    "arguments": ("response.function_call_arguments", "arguments"),
}


class ResponsesAnswer:
    """One answer as Responses events."""

    def __init__(self, ask: Ask, plan: Plan) -> None:
        self._plan = plan
        self._object = ResponseObject(ask, plan)
        # The number of the next event.
        self._sequence = 0

    def frames(self) -> Iterator[Frame]:
        """Stream the whole answer."""
        yield self._event("response.created", response=self._object.response("in_progress")), 0
        yield self._event("response.in_progress", response=self._object.response("in_progress")), 0
        for index, item in enumerate(self._plan.items):
            opened = self._object.opened_item(index)
            yield self._event("response.output_item.added", output_index=index, item=opened), 0
            # Summary parts and content parts are numbered apart.
            counts = {"summary_index": 0, "content_index": 0}
            for part in item.parts:
                name = "summary_index" if part.kind == "summary" else "content_index"
                place: dict[str, Any] = {"item_id": self._object.item_ids[index], "output_index": index}
                if part.kind != "arguments":
                    place[name] = counts[name]
                    counts[name] += 1
                yield from self._part(part, place)
            done = self._object.item(index)
            yield self._event("response.output_item.done", output_index=index, item=done), 0
        status = final_status(self._plan)
        yield self._event(f"response.{status}", response=self._object.response(status)), 0

    def error(self) -> bytes:
        """Break the stream off with an error event, flat as in OpenAI's SSE."""
        return self._event("error", **FAILED, param=None)

    def failed(self) -> bytes:
        """Break the stream off with `response.failed`."""
        return self._event("response.failed", response=self._object.response("failed"))

    def whole(self) -> bytes:
        """Give the Response unstreamed."""
        return _encode(self._object.response(final_status(self._plan)))

    def whole_failed(self) -> bytes:
        """Give the failed Response unstreamed; the real API sends it with HTTP 200."""
        return _encode(self._object.response("failed"))

    def _part(self, part: Part, place: dict[str, Any]) -> Iterator[Frame]:
        around = {"summary": "response.reasoning_summary_part"}.get(part.kind, "response.content_part")
        bounded = part.kind == "summary" or is_content(part)
        if bounded:
            yield self._event(f"{around}.added", **place, part=self._object.part(part, "")), 0
        yield from self._deltas(part, place)
        event, whole = _EVENTS[part.kind]
        extra: dict[str, Any] = {whole: part.text}
        if part.kind == "text" and not self._object.bare:
            extra["logprobs"] = []
        yield self._event(f"{event}.done", **place, **extra), 0
        if bounded:
            yield self._event(f"{around}.done", **place, part=self._object.part(part, part.text)), 0

    def _deltas(self, part: Part, place: dict[str, Any]) -> Iterator[Frame]:
        event = f"{_EVENTS[part.kind][0]}.delta"
        opened = _encode({"type": event, **place})[:-1]
        head = b"event: %b\ndata: %b," % (event.encode(), opened) + b'"delta":'
        middle = b',"logprobs":[]' if part.kind == "text" and not self._object.bare else b""
        middle += b',"sequence_number":'
        for piece in part.pieces:
            number = self._sequence
            self._sequence = number + 1
            yield b"%b%b%b%d}\n\n" % (head, _encode(piece), middle, number), 1

    def _event(self, event: str, **body: Any) -> bytes:
        number = self._sequence
        self._sequence = number + 1
        data = _encode({"type": event, **body, "sequence_number": number})
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
