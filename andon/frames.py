"""Frames: the client-facing JSON of one event, and the message that carries frames to gateways.

Owns how a piece and its sequence number become bytes, and the small header in front of a published batch. A frame
holds no raw newline (JSON escapes it), so a batch is joined by newlines and taken apart without parsing JSON.
Guarantees: the same bytes for every socket and every replay, because only the worker (or a script) makes them.
"""

from typing import Any, Final

import msgspec

from andon.errors import ContractError
from andon.ids import ResponseId
from andon.pieces import Delta, Event

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.decode

# Types whose delta the SDK's models demand `logprobs` on.
_WITH_LOGPROBS: Final = "response.output_text.delta"


def envelope(response_id: ResponseId, stream_id: str | None) -> bytes:
    """Build the members that every event of a response carries: `"response_id":"..."` and the lane if there is one."""
    members = b'"response_id":' + encode(response_id)
    if stream_id is not None:
        members += b',"stream_id":' + encode(stream_id)
    return members


def event_frame(type_: str, sequence_number: int, envelope_: bytes, body: dict[str, Any]) -> bytes:
    """Build the frame of any event: type, number, envelope, then the event's own members."""
    head = b'{"type":%b,"sequence_number":%d,%b' % (encode(type_), sequence_number, envelope_)
    members = encode(body)
    return head + (b"," + members[1:] if len(members) > len(b"{}") else b"}")


class DeltaFramer:
    """Builds the frames of deltas, with the constant members of each part encoded once."""

    def __init__(self, envelope_: bytes) -> None:
        self._envelope = envelope_
        # (type, item, output index, part) -> (bytes before the number, bytes between number and text, bytes after)
        self._affixes: dict[tuple[object, ...], tuple[bytes, bytes, bytes]] = {}

    def frame(self, delta: Delta, sequence_number: int) -> bytes:
        """Build the frame of one delta."""
        key = (delta.type, delta.item_id, delta.output_index, delta.part)
        affixes = self._affixes.get(key)
        if affixes is None:
            affixes = self._affixes[key] = self._make_affixes(delta)
        return b"%b%d%b%b%b" % (affixes[0], sequence_number, affixes[1], encode(delta.text), affixes[2])

    def _make_affixes(self, delta: Delta) -> tuple[bytes, bytes, bytes]:
        between = b",%b,%b" % (self._envelope, encode(_indexes(delta))[1:-1])
        after = b',"logprobs":[]}' if delta.type == _WITH_LOGPROBS else b"}"
        return b'{"type":%b,"sequence_number":' % encode(delta.type), between + b',"delta":', after


def _indexes(delta: Delta) -> dict[str, Any]:
    members: dict[str, Any] = {"item_id": delta.item_id, "output_index": delta.output_index}
    if delta.part is not None:
        name, index = delta.part
        members[name] = index
    return members


def piece_frame(piece: Delta | Event, sequence_number: int, envelope_: bytes, framer: DeltaFramer) -> bytes:
    """Build the frame of a numbered piece."""
    if isinstance(piece, Delta):
        return framer.frame(piece, sequence_number)
    return event_frame(piece.type, sequence_number, envelope_, piece.body)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Consecutive frames of one response, as published: `frames[i]` has the number `first + i`.

    No frames: they are too large to be published, and are in the log.
    """

    response_id: ResponseId
    first: int
    frames: tuple[bytes, ...]
    # The batch ends its response: known from the header, so that a gateway need not parse JSON to see an ending.
    terminal: bool

    @property
    def after(self) -> int:
        """Return the number that follows the last frame."""
        return self.first + len(self.frames)


_HEADER_PARTS: Final = 4


def parse_batch(message: bytes) -> Batch:
    """Take a published message apart: `R first last flag` LF frame LF frame ...

    `flag` is `.` or, for the batch that holds the terminal event, `!`. The frames may be left out, where they are too
    large to be published. Raises ContractError for anything else.
    """
    header, *frames = message.split(b"\n")
    parts = header.split(b" ")
    if len(parts) != _HEADER_PARTS:
        raise ContractError(f"a published message has a foreign header: {header[:80]!r}")
    response_id, first, last, flag = parts
    number = int(first)
    if frames and number + len(frames) != int(last) + 1:
        raise ContractError(f"a published batch says {first!r} to {last!r} and holds {len(frames)} frames")
    return Batch(ResponseId(response_id.decode()), number, tuple(frames), flag == b"!")
