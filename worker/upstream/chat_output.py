"""Chat output: the items of a Responses output, grown from Chat Completions deltas.

Owns the item and part events (`output_item.added` to `output_item.done`), in the order the Responses API gives them,
and the final items. Does not own the chunks they come from (`chat`).

The text is kept until the end, because `output_text.done` and `output_item.done` repeat it whole: memory is bounded by
what the model is allowed to say.
"""

from typing import Any, Literal

from andon.pieces import Delta, Event, Piece

PartKind = Literal["output_text", "refusal", "reasoning_text"]
ItemStatus = Literal["completed", "incomplete"]

# By part type: the field of the part, and of its `.done` event, that holds the text.
_TEXT_FIELD: dict[PartKind, str] = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}


class Part:
    """One content part of a message or of a reasoning item."""

    def __init__(self, kind: PartKind, content_index: int) -> None:
        self.kind = kind
        self.content_index = content_index
        self._text: list[str] = []  # the deltas so far, in order
        self._logprobs: list[dict[str, Any]] = []  # those of the deltas so far, empty unless they were asked for

    def grow(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        """Take a delta."""
        self._text.append(text)
        self._logprobs.extend(logprobs)

    def whole(self) -> dict[str, Any]:
        """Return the part as the wire has it, with the text so far."""
        part: dict[str, Any] = {"type": self.kind, _TEXT_FIELD[self.kind]: "".join(self._text)}
        if self.kind == "output_text":
            part |= {"annotations": [], "logprobs": list(self._logprobs)}
        return part

    def done_fields(self) -> dict[str, Any]:
        """Return the fields of `response.<kind>.done` beyond its place."""
        fields: dict[str, Any] = {_TEXT_FIELD[self.kind]: "".join(self._text)}
        return fields | {"logprobs": list(self._logprobs)} if self.kind == "output_text" else fields


class ContentItem:
    """A message, or a reasoning item: parts of text."""

    def __init__(self, kind: Literal["message", "reasoning"], item_id: str, output_index: int) -> None:
        self._kind = kind
        self._id = item_id
        self._output_index = output_index
        self._parts: dict[PartKind, Part] = {}  # in the order of their first delta

    def added(self) -> Event:
        """Return the event that opens this item."""
        item = self._item("in_progress", [])
        return Event("response.output_item.added", {"output_index": self._output_index, "item": item})

    def grow(self, kind: PartKind, text: str, logprobs: list[dict[str, Any]]) -> list[Piece]:
        """Take a delta of one part, which is opened by its first."""
        pieces: list[Piece] = []
        part = self._parts.get(kind)
        if part is None:
            part = self._parts[kind] = Part(kind, len(self._parts))
            pieces.append(Event("response.content_part.added", {**self._place(part), "part": part.whole()}))
        part.grow(text, logprobs)
        if logprobs:
            body = {**self._place(part), "delta": text, "logprobs": logprobs}
            pieces.append(Event(f"response.{kind}.delta", body))
        else:
            pieces.append(
                Delta(
                    f"response.{kind}.delta", self._id, self._output_index, ("content_index", part.content_index), text
                )
            )
        return pieces

    def done(self, status: ItemStatus) -> list[Piece]:
        """Return the events that close the parts and this item."""
        pieces: list[Piece] = []
        for part in self._parts.values():
            pieces.append(Event(f"response.{part.kind}.done", {**self._place(part), **part.done_fields()}))
            pieces.append(Event("response.content_part.done", {**self._place(part), "part": part.whole()}))
        body = {"output_index": self._output_index, "item": self.whole(status)}
        return [*pieces, Event("response.output_item.done", body)]

    def whole(self, status: ItemStatus) -> dict[str, Any]:
        """Return the item as the wire has it at the end."""
        return self._item(status, [part.whole() for part in self._parts.values()])

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        own: dict[str, Any] = {"role": "assistant"} if self._kind == "message" else {"summary": []}
        return {"id": self._id, "type": self._kind, "status": status, **own, "content": content}

    def _place(self, part: Part) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._output_index, "content_index": part.content_index}


class CallItem:
    """A function call. It opens once its name is known."""

    def __init__(self, item_id: str, call_id: str, name: str, output_index: int) -> None:
        self._id = item_id
        self._call_id = call_id
        self._name = name
        self._output_index = output_index
        self._arguments: list[str] = []  # the deltas so far, in order

    @property
    def call_id(self) -> str:
        """The upstream's id of the call, or one made up where it had none."""
        return self._call_id

    def added(self) -> Event:
        """Return the event that opens this item."""
        item = self._item("in_progress", "")
        return Event("response.output_item.added", {"output_index": self._output_index, "item": item})

    def grow(self, text: str) -> list[Piece]:
        """Take a delta of the arguments."""
        self._arguments.append(text)
        return [Delta("response.function_call_arguments.delta", self._id, self._output_index, None, text)]

    def done(self, status: ItemStatus) -> list[Piece]:
        """Return the events that close this item."""
        arguments = {
            "item_id": self._id,
            "output_index": self._output_index,
            "arguments": "".join(self._arguments),
        }
        return [
            Event("response.function_call_arguments.done", arguments),
            Event("response.output_item.done", {"output_index": self._output_index, "item": self.whole(status)}),
        ]

    def whole(self, status: ItemStatus) -> dict[str, Any]:
        """Return the item as the wire has it at the end."""
        return self._item(status, "".join(self._arguments))

    def _item(self, status: str, arguments: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": arguments,
        }
