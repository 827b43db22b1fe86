"""Backlog: pieces that were received and are not in the log yet.

Owns their order, the merging of deltas, and the bound. Does no I/O. Guarantees: what is taken is numbered without a
gap; the trailing `*.done` events are held back until something follows them, so that they enter the log together
with the terminal event or not at all: no `*.done` precedes a stopped ending.
"""

from collections.abc import Iterable

import msgspec

from andon.frames import encode
from andon.pieces import Delta, Event

_FRAME_OVERHEAD_BYTES = 200
# The last `*.done` events repeat the whole text, three times over: a long answer would break the bound at its very end,
# when nothing more can gather. They have a bound of their own.
_HELD_TIMES = 16


class Backlog:
    """A bounded buffer between the model, which does not wait, and Redis."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[Delta | Event] = []
        # The texts of the last piece where it is a delta: joined when taken, for joining at each merge would copy all.
        self._growing: list[str] = []
        # Estimates that err upwards, text and overhead: of what may be logged, and of the trailing `*.done` events.
        self._bytes = 0
        self._held_bytes = 0

    def __bool__(self) -> bool:
        """Tell whether anything is held."""
        return bool(self._pieces)

    @property
    def overfull(self) -> bool:
        """Tell whether the bound is exceeded: the stated policy is to close that upstream and fail the response."""
        return self._bytes > self._most_bytes or self._held_bytes > _HELD_TIMES * self._most_bytes

    def add(self, piece: Delta | Event) -> None:
        """Hold a piece; a delta of the same part as the last one merges with it."""
        if isinstance(piece, Delta):
            self._add_delta(piece)
            return
        size_bytes = len(encode(piece.body)) + _FRAME_OVERHEAD_BYTES
        if _is_held(piece):
            self._held_bytes += size_bytes
        else:
            self._let_held_go()
            self._bytes += size_bytes
        self._join_growing()
        self._pieces.append(piece)
        self._growing = []

    def _add_delta(self, delta: Delta) -> None:
        if self._held_bytes:
            self._let_held_go()
        text, pieces = delta.text, self._pieces
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if pieces:
            last = pieces[-1]
            if isinstance(last, Delta) and _same_part(last, delta):
                self._growing.append(text)
                return
            self._join_growing()
        self._bytes += _FRAME_OVERHEAD_BYTES
        pieces.append(delta)
        self._growing = [text]

    def _let_held_go(self) -> None:
        """Count the held ones with the others: something follows them."""
        self._bytes, self._held_bytes = self._bytes + self._held_bytes, 0

    def _join_growing(self) -> None:
        """Give the last delta all of its text; it may grow on."""
        if len(self._growing) > 1:
            last = self._pieces[-1]
            assert isinstance(last, Delta)
            whole = "".join(self._growing)
            self._pieces[-1] = msgspec.structs.replace(last, text=whole)
            self._growing = [whole]

    def take(self) -> list[Delta | Event]:
        """Take all that may be logged now: everything but the trailing `*.done` events."""
        if not self._pieces:
            return []
        self._join_growing()
        end = len(self._pieces)
        while end and _is_held(self._pieces[end - 1]):
            end -= 1
        taken, self._pieces = self._pieces[:end], self._pieces[end:]
        self._growing = []
        self._bytes = 0
        return taken

    def take_all(self) -> list[Delta | Event]:
        """Take everything: the ending goes into the log with it."""
        self._join_growing()
        taken, self._pieces = self._pieces, []
        self._growing = []
        self._bytes = self._held_bytes = 0
        return taken

    def text(self) -> str:
        """Join the text that was received and is not logged: it was paid for, so it counts."""
        self._join_growing()
        return text_of(self._pieces)


def _is_held(piece: Delta | Event) -> bool:
    return isinstance(piece, Event) and piece.type.endswith(".done")


def _same_part(one: Delta, other: Delta) -> bool:
    return (one.type, one.item_id, one.output_index, one.part) == (
        other.type,
        other.item_id,
        other.output_index,
        other.part,
    )


def text_of(pieces: Iterable[Delta | Event]) -> str:
    """Join the text of deltas, those with log probabilities (which stay events) included."""
    texts = []
    for piece in pieces:
        if isinstance(piece, Delta):
            texts.append(piece.text)
        elif piece.type.endswith(".delta") and isinstance(piece.body.get("delta"), str):
            texts.append(piece.body["delta"])
    return "".join(texts)
