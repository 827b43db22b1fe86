"""Output cap: whether a run has put out more tokens than a response may have.

Owns the count while the model speaks: for servers that do not keep to `max_output_tokens`. Does no I/O. Guarantees:
what the upstream tells of its usage is believed; where it tells nothing, the count is the one that the settlement would
make. The text is counted anew only when it could have come to the cap: a token has one byte at least, so that costs a
few dozen counts a response, whatever its length.
"""

from collections.abc import Iterable
from typing import Any

from andon.pieces import Delta, Event, Piece
from andon.usage import count_tokens
from worker.backlog import text_of


class OutputCap:
    """The cap of one run."""

    def __init__(self, most_tokens: int) -> None:
        self._most = most_tokens
        self._texts: list[str] = []
        # Tokens there can be at the most: those of the last count, and a token for each byte since.
        self._most_there_are = 0

    def is_exceeded(self, pieces: Iterable[Piece], usage_so_far: dict[str, Any] | None) -> bool:
        """Take in what came, and tell whether it is more than may come."""
        text = text_of(piece for piece in pieces if isinstance(piece, Delta | Event))
        self._texts.append(text)
        self._most_there_are += len(text.encode())
        if usage_so_far is not None:
            return int(usage_so_far.get("output_tokens") or 0) > self._most
        if self._most_there_are <= self._most:
            return False
        whole = "".join(self._texts)
        self._texts = [whole]
        self._most_there_are = count_tokens(whole)
        return self._most_there_are > self._most
