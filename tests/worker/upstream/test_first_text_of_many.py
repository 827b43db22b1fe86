"""What comes with the first text is translated after that was given: whoever asked waits for the text alone."""

from collections.abc import Callable
from typing import Any

import pytest

from andon.frames import encode
from andon.pieces import Delta, Event, Finish, Piece
from worker.upstream.pushed_stream import PushedStream
from worker.upstream.responses import ResponsesTranslator
from worker.upstream.source import HttpPieceStream

ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
PART = {"type": "output_text", "text": "", "annotations": []}
AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
OPENING: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_theirs"}},
    {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
    {"type": "response.content_part.added", **AT, "part": PART},
]
TEXTS: list[dict[str, Any]] = [{"type": "response.output_text.delta", **AT, "delta": text} for text in "abc"]
END: list[dict[str, Any]] = [
    {"type": "response.output_text.done", **AT, "text": "abc"},
    {"type": "response.completed", "response": {"status": "completed", "output": []}},
]


class FakeStream(PushedStream):
    """A body in the test's hand."""

    def __init__(self) -> None:
        self.say: Callable[[bytes], bool]

    def pour_soon(self, take: Callable[[bytes], bool], on_over: Callable[[], None] | None = None) -> None:
        """Keep who takes."""
        del on_over
        self.say = take


class Taker:
    """Takes pieces, and says when it wants no more."""

    def __init__(self, *, most: int = 100) -> None:
        self.given: list[list[Piece]] = []
        self._most = most

    def __call__(self, pieces: list[Piece]) -> bool:
        """Keep them."""
        self.given.append(pieces)
        return len(self.given) < self._most

    def texts(self) -> list[str]:
        """Join the texts of each giving."""
        return ["".join(piece.text for piece in pieces if isinstance(piece, Delta)) for pieces in self.given]


def sse(*events: dict[str, Any]) -> bytes:
    """Write events as a model server does."""
    return b"".join(b"data: %b\n\n" % encode(event) for event in events)


def heard(taker: Taker) -> FakeStream:
    """Have a stream heard by this taker."""
    stream = FakeStream()
    HttpPieceStream(ResponsesTranslator(), taker).hear(stream)
    return stream


async def test_the_first_text_is_given_before_what_came_with_it() -> None:
    """All of an answer in one read: its first text, with what opens it, then all the rest at once."""
    taker = Taker()
    assert not heard(taker).say(sse(*OPENING, *TEXTS, *END))
    first, rest = taker.given
    assert [type(piece) for piece in first] == [Event, Event, Delta]
    assert taker.texts() == ["a", "bc"]
    assert isinstance(rest[-1], Finish)


async def test_later_texts_are_given_together() -> None:
    """Only the first is in such a hurry: what comes at once is merged from then on."""
    taker = Taker()
    stream = heard(taker)
    assert stream.say(sse(*OPENING))
    assert stream.say(sse(*TEXTS))
    assert stream.say(sse(*TEXTS))
    assert taker.texts() == ["", "a", "bc", "abc"]


async def test_what_came_with_the_first_text_is_counted_where_no_more_is_wanted() -> None:
    """A stop that was heard as the first text was given: what had come with it was read, and paid for."""
    taker = Taker(most=1)
    assert not heard(taker).say(sse(*OPENING, *TEXTS))
    assert taker.texts() == ["a", "bc"]


@pytest.mark.parametrize("cut", range(0, 600, 37))
async def test_wherever_the_network_cuts_the_same_pieces_are_given(cut: int) -> None:
    """However few events a read brings, the text is whole, in order, and ends once."""
    taker = Taker()
    stream, whole = heard(taker), sse(*OPENING, *TEXTS, *END)
    if stream.say(whole[:cut]):
        stream.say(whole[cut:])
    assert "".join(taker.texts()) == "abc"
    assert sum(isinstance(piece, Finish) for pieces in taker.given for piece in pieces) == 1
