from typing import Any

import pydantic
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputItem

from andon.frames import DeltaFramer, envelope, piece_frame
from andon.ids import ResponseId
from andon.output import OutputFold, output_text
from andon.pieces import Delta, Event
from tests.unit.pieces import call, cut_outputs, message, outputs, reasoning

_ITEM: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseOutputItem)


def folded(pieces: list[Delta | Event]) -> list[dict[str, Any]]:
    """Fold pieces into items."""
    fold = OutputFold()
    for piece in pieces:
        fold.add(piece)
    return fold.items()


def framed(pieces: list[Delta | Event]) -> list[bytes]:
    """Frame pieces as a worker logs them."""
    members = envelope(ResponseId("resp_x"), None)
    framer = DeltaFramer(members)
    return [piece_frame(piece, number, members, framer) for number, piece in enumerate(pieces)]


def merged(pieces: list[Delta | Event]) -> list[Delta | Event]:
    """Merge every run of deltas of one part, as a slow Redis would have it."""
    result: list[Delta | Event] = []
    for piece in pieces:
        last = result[-1] if result else None
        if (
            isinstance(piece, Delta)
            and isinstance(last, Delta)
            and (last.type, last.item_id, last.part) == (piece.type, piece.item_id, piece.part)
        ):
            result[-1] = Delta(last.type, last.item_id, last.output_index, last.part, last.text + piece.text)
        else:
            result.append(piece)
    return result


@given(cut_outputs())
def test_a_rescuer_gets_from_the_log_what_the_worker_folded(pieces: list[Delta | Event]) -> None:
    """Pieces and the frames they became fold into the same items, wherever the stream was cut."""
    fold = OutputFold()
    fold.add_frames(framed(pieces))
    assert fold.items() == folded(pieces)


@given(cut_outputs())
def test_merging_deltas_does_not_change_the_items(pieces: list[Delta | Event]) -> None:
    """How fast Redis was is not to be seen in the output."""
    assert folded(merged(pieces)) == folded(pieces)


@given(cut_outputs(), st.data())
def test_looking_at_the_items_changes_nothing(pieces: list[Delta | Event], data: st.DataObject) -> None:
    """The items may be read at any moment, and folding goes on."""
    fold = OutputFold()
    for piece in pieces:
        fold.add(piece)
        if data.draw(st.booleans()):
            assert fold.items() == fold.items()
    assert fold.items() == folded(pieces)


@given(outputs())
def test_done_items_are_as_the_model_told_them(pieces: list[Delta | Event]) -> None:
    """Whatever deltas said before, `output_item.done` is the item."""
    told = [p.body["item"] for p in pieces if isinstance(p, Event) and p.type == "response.output_item.done"]
    assert sorted(folded(pieces), key=lambda item: str(item["id"])) == sorted(told, key=lambda item: str(item["id"]))


@given(cut_outputs())
def test_cut_items_are_incomplete_and_the_sdk_reads_them(pieces: list[Delta | Event]) -> None:
    """An item without its done has status `incomplete`; all text that was streamed is in it."""
    done = {p.body["output_index"] for p in pieces if isinstance(p, Event) and p.type == "response.output_item.done"}
    added = sorted(
        p.body["output_index"] for p in pieces if isinstance(p, Event) and p.type == "response.output_item.added"
    )
    items = folded(pieces)
    assert len(items) == len(added)
    for index, item in zip(added, items, strict=True):
        assert item["status"] == ("completed" if index in done else "incomplete")
        assert _ITEM.validate_python(item).type == item["type"]
    streamed = sum(len(p.text) for p in pieces if isinstance(p, Delta))
    assert len(output_text(items)) == streamed


def test_a_cut_message_keeps_its_text_and_annotations() -> None:
    """Text, refusal and annotations of a partial message."""
    whole = message(0, ["Hel", "lo"], ["no"], 2)
    (item,) = folded(whole[:6])
    assert item["content"][0]["text"] == "Hello"
    assert len(item["content"][0]["annotations"]) == 2
    assert item["status"] == "incomplete"
    (item,) = folded(whole[:-2])
    assert item["content"][1] == {"type": "refusal", "refusal": "no"}


def test_a_cut_thought_and_a_cut_call_keep_what_was_said() -> None:
    """Reasoning summary and text, and arguments."""
    (thought,) = folded(reasoning(0, ["be", "cause"], ["in", " short"], 0)[:-1])
    assert (thought["summary"][0]["text"], thought["content"][0]["text"]) == ("in short", "because")
    (called,) = folded(call(0, ['{"a"', ":1}"], [], 0)[:3])
    assert (called["arguments"], called["status"]) == ('{"a":1}', "incomplete")


def test_events_that_say_nothing_of_the_output_change_nothing() -> None:
    """Created, in progress, and types of the future are folded to nothing."""
    fold = OutputFold()
    fold.add(Event("response.in_progress", {"response": {}}))
    fold.add(Event("response.web_search_call.searching", {"output_index": 0, "item_id": "x"}))
    assert fold.items() == []
