"""What a function yields, as pieces."""

from enum import StrEnum
from typing import Any, get_args

import pytest
from openai.types.responses import ResponseStreamEvent

from andon.pieces import Cause, Delta, Event, Finish, Piece
from worker.upstream.own.events import KNOWN_EVENTS, OwnTranslator


class Word(StrEnum):
    """Text of a class of its own, as some libraries yield it."""

    HELLO = "hello"


def _finish(pieces: list[Piece]) -> Finish:
    assert isinstance(pieces[-1], Finish)
    return pieces[-1]


def _complaint(*values: Any) -> str:
    """Yield these; return the complaint about the last."""
    translator = OwnTranslator("mine:f")
    for value in values[:-1]:
        translator.take(value)
        assert not translator.finished
    finish = _finish(translator.take(values[-1]))
    assert finish.failure is not None
    assert finish.failure.cause is Cause.SOURCE_GARBAGE
    assert translator.finished
    return finish.failure.message


def _item(**members: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": {"type": "message", "id": "msg_1", "content": []}, **members}


def test_the_known_events_are_the_sdks() -> None:
    """Drift is seen here: an event of a newer SDK may be yielded once it is listed."""
    union = get_args(ResponseStreamEvent)[0]
    assert {
        name for model in get_args(union) for name in get_args(model.model_fields["type"].annotation)
    } == KNOWN_EVENTS


def test_text_of_any_class_is_text() -> None:
    """It is handed on as a plain string."""
    pieces = OwnTranslator("mine:f").take(Word.HELLO)
    assert isinstance(pieces[-1], Delta)
    assert type(pieces[-1].text) is str


def test_nothing_yielded_is_a_whole_and_empty_response() -> None:
    """A function that has nothing to say has said it."""
    assert OwnTranslator("mine:f").end() == [Finish("completed", {}, None)]


def test_a_terminal_event_ends_it_with_its_usage_and_reason() -> None:
    """`response.incomplete` closes the message as incomplete, and tells why."""
    translator = OwnTranslator("mine:f")
    translator.take("some text")
    usage = {"input_tokens": 1, "output_tokens": 2}
    response = {
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "usage": usage,
        "output": [],
    }
    pieces = translator.take({"type": "response.incomplete", "response": response})
    done = [piece for piece in pieces if isinstance(piece, Event) and piece.type == "response.output_item.done"]
    assert done[0].body["item"]["status"] == "incomplete"
    finish = _finish(pieces)
    assert (finish.status, finish.incomplete_reason) == ("incomplete", "content_filter")
    assert finish.usage is not None
    assert finish.usage["total_tokens"] == 3
    assert "output" not in finish.response  # it does not know of the text


def test_a_failed_event_says_what_it_says() -> None:
    """A function tells its client of a failure in its own words by `response.failed`."""
    event = {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "Slow down"}}}
    failure = _finish(OwnTranslator("mine:f").take(event)).failure
    assert failure is not None
    assert failure.code == "rate_limit_exceeded"
    assert "Slow down" in failure.message


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([None], "yielded None."),
        ([b"bytes"], "yielded an object of type bytes."),
        ([{"delta": "x"}], "yielded a dict without `type`."),
        ([{"type": 7}], "yielded a dict without `type`."),
        (["\ud83d"], "yielded text with half a surrogate pair."),
        ([{"type": "response.output_text.delta", "delta": "x"}], "(an event came before its item)"),
        ([_item(), {"type": "response.output_text.delta", "delta": 7}], "(a delta is no text)"),
        ([_item(), {"type": "response.output_text.delta", "output_index": 5, "delta": "x"}], "came before its item"),
        (["text", {"type": "response.output_text.delta", "output_index": 0, "delta": "x"}], "came before its item"),
        ([{**_item(), "item": None}], "(an item is missing)"),
        ([_item(extra=object())], "(it can't be written as JSON)"),
        ([{"type": "response.completed"}], "(a terminal event has no response)"),
        ([{"type": "response.in_progress", "response": {"usage": {"input_tokens": 1}}}], "lacks a count of tokens"),
    ],
)
def test_a_wrong_yield_is_named(values: list[Any], complaint: str) -> None:
    """The function, the kind of thing, and the reason where the kind alone does not tell."""
    message = _complaint(*values)
    assert message.startswith("The source mine:f yielded ")
    assert complaint in message


def test_an_item_left_open_is_no_whole_response() -> None:
    """Whoever opens items closes them, or says `response.completed`."""
    translator = OwnTranslator("mine:f")
    translator.take(_item())
    finish = _finish(translator.end())
    assert finish.failure is not None
    assert "ended with an output item open" in finish.failure.message


def test_an_item_left_open_is_closed_by_the_terminal_event() -> None:
    """As model servers do it: the final response has the whole output."""
    translator = OwnTranslator("mine:f")
    translator.take(_item())
    assert _finish(translator.take({"type": "response.completed", "response": {"output": []}})).status == "completed"
