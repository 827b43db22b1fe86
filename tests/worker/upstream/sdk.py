"""What the official SDK accepts: its pydantic models, applied strictly to what the adapters emit."""

from typing import Any

import pydantic
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent, ResponseUsage

from andon.pieces import Delta, Event, Piece

_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
_ITEM: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseOutputItem)


def wire_events(pieces: list[Piece]) -> list[dict[str, Any]]:
    """Give the pieces their numbers as the scribe does, leaving out the Finish."""
    wire: list[dict[str, Any]] = []
    for piece in pieces:
        if isinstance(piece, Delta):
            body: dict[str, Any] = {"item_id": piece.item_id, "output_index": piece.output_index, "delta": piece.text}
            if piece.part is not None:
                body[piece.part[0]] = piece.part[1]
            if piece.type == "response.output_text.delta":
                body["logprobs"] = []
        elif isinstance(piece, Event):
            body = piece.body
        else:
            continue
        assert not {"type", "sequence_number", "response_id", "stream_id"} & body.keys()
        wire.append({**body, "type": piece.type, "sequence_number": len(wire), "response_id": "resp_1"})
    return wire


def assert_sdk_accepts(pieces: list[Piece]) -> None:
    """Fail unless every event validates as the one the SDK has for its type."""
    for event in wire_events(pieces):
        assert _EVENT.validate_python(event).type == event["type"]


def assert_sdk_accepts_output(items: list[dict[str, Any]]) -> None:
    """Fail unless every item validates as the one the SDK has for its type."""
    for item in items:
        assert _ITEM.validate_python(item).type == item["type"]


def assert_sdk_accepts_usage(usage: dict[str, Any] | None) -> None:
    """Fail unless the usage is whole."""
    ResponseUsage.model_validate(usage, strict=True)
