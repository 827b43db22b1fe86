"""Once: what many sockets are sent is made for the wire once.

Owns the WebSocket frames of the batch that is just being forwarded: the hub tells all its listeners in one go, so the
last one is the only one that is asked for. Does not own who gets it.
"""

from typing import Final

from andon.frames import Batch
from gateway.rfc6455 import Kind, frame

# As a plain number: arithmetic with a member of an enumeration costs as much as the rest of a frame's head.
_TEXT: Final = int(Kind.TEXT)


class Once:
    """One for all sockets of a gateway. `piece_bytes`: a text of more is sent in pieces, each socket by itself."""

    __slots__ = ("_batch", "_piece_bytes", "_wire")

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        # The batch that was asked for last, and its frames; None: it must be sent in pieces.
        self._batch: Batch | None = None
        self._wire: bytes | None = None

    def wire_of(self, batch: Batch) -> bytes | None:
        """Return a batch as WebSocket frames; None if one of its texts is too large to go out at once."""
        if batch is not self._batch:
            self._batch = batch
            frames = batch.frames
            size_bytes = len(frames[0]) if len(frames) == 1 else sum(map(len, frames))
            is_small = size_bytes <= self._piece_bytes
            self._wire = b"".join([frame(_TEXT, text) for text in frames]) if is_small else None
        return self._wire
