"""Frames: the bytes of an answer in the order they are sent, each with the number of tokens it carries.

Owns the shape that the two wire formats produce and the pacer consumes, and the two transformations of it. Does not
own JSON or time. A frame of zero tokens is due at once; a frame of tokens waits for its time.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

Frame: TypeAlias = tuple[bytes, int]

_CONTINUATION, _LEAD = 0x80, 0xC0  # UTF-8: 10xxxxxx continues a character, 11xxxxxx begins one of several bytes


class Answer(Protocol):
    """One answer in one API's wire form. Its methods share a sequence: call each once, in the order of the wire."""

    def frames(self) -> Iterator[Frame]:
        """Stream the whole answer."""

    def error(self) -> bytes:
        """Break the stream off with the API's error event."""

    def failed(self) -> bytes:
        """Break the stream off as a failed response."""

    def whole(self) -> bytes:
        """Give the answer unstreamed, as one JSON object."""

    def whole_failed(self) -> bytes | None:
        """Give a failed answer unstreamed; None where the API has no such thing but an HTTP error."""


def until_tokens(frames: Iterable[Frame], limit: int) -> Iterator[Frame]:
    """Pass frames on until they have carried `limit` tokens; nothing after the last of these, no ending either."""
    seen = 0
    for data, tokens in frames:
        if tokens and seen >= limit:
            return
        yield data, tokens
        seen += tokens
        if tokens and seen >= limit:
            return


def cut_characters(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Move every boundary between frames of tokens into the middle of a UTF-8 character."""
    held = b""
    for frame, tokens in frames:
        data = held + frame
        held = b""
        if tokens and (middle := _middle(data)):
            data, held = data[:middle], data[middle:]
        yield data, tokens
    if held:
        yield held, 0


def _middle(data: bytes) -> int:
    """Find where the last character of several bytes continues; 0 if there is none."""
    for index in range(len(data) - 1, 0, -1):
        if data[index] & _LEAD == _CONTINUATION and data[index - 1] & _LEAD == _LEAD:
            return index
    return 0
