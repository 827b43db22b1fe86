from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from andon.frames import Batch, encode
from andon.ids import ResponseId
from andon.response import Status
from gateway.cursor import Cursor, Gap, terminal_status

RID = ResponseId("resp_x")
MOST_FRAMES = 40


def frame(number: int) -> bytes:
    """Make a frame of the log."""
    return encode({"type": "response.output_text.delta", "sequence_number": number})


def ending(number: int, status: Status = Status.CANCELLED) -> bytes:
    """Make a terminal frame."""
    return encode({"type": "response.incomplete", "sequence_number": number, "response": {"status": status}})


class Delivery(RuleBasedStateMachine):
    """One reader of a growing log, whose published batches are lost, doubled and late as they please."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[bytes] = []
        self.batches: list[Batch] = []
        self.cursor = Cursor()
        self.delivered: list[bytes] = []
        self.ended = False

    @precondition(lambda self: not self.ended and len(self.log) < MOST_FRAMES)
    @rule(count=st.integers(min_value=1, max_value=4), last=st.booleans())
    def append(self, count: int, *, last: bool) -> None:
        """The worker appends a batch, perhaps with the ending; it is published, which says nothing of its arrival."""
        first = len(self.log)
        frames = [frame(first + offset) for offset in range(count)]
        if last:
            frames[-1] = ending(first + count - 1)
            self.ended = True
        self.log += frames
        self.batches.append(Batch(RID, first, tuple(frames), terminal=last))

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """Any batch published so far arrives: in order or not, for the first time or again."""
        answer = self.cursor.take(data.draw(st.sampled_from(self.batches)))
        if isinstance(answer, tuple):
            assert answer
            self.delivered += answer

    @rule(most=st.integers(min_value=1, max_value=5))
    def read_log(self, most: int) -> None:
        """A slice is read from the log at the cursor, as far as there is one."""
        if self.cursor.ended is None:
            frames = self.log[self.cursor.next : self.cursor.next + most]
            self.cursor.take_logged(frames)
            self.delivered += frames

    @invariant()
    def delivered_is_the_logs_beginning(self) -> None:
        """Once each, in order, none left out."""
        assert self.delivered == self.log[: len(self.delivered)]
        assert self.cursor.next == len(self.delivered)

    @invariant()
    def the_end_is_told_when_the_terminal_frame_was_delivered(self) -> None:
        """Neither before nor never."""
        complete = self.ended and len(self.delivered) == len(self.log)
        assert self.cursor.ended == (Status.CANCELLED if complete else None)

    def teardown(self) -> None:
        """Whatever was lost, reading the log completes the delivery."""
        self.read_log(MOST_FRAMES + 5)
        assert self.delivered == self.log


Delivery.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestDelivery: Any = Delivery.TestCase


def batch(first: int, count: int) -> Batch:
    """Make a published batch."""
    return Batch(RID, first, tuple(frame(first + offset) for offset in range(count)), terminal=False)


def test_a_batch_is_told_as_next_missing_or_seen() -> None:
    """The three answers of a cursor that has not ended."""
    cursor = Cursor(2)
    assert cursor.take(batch(0, 2)) is Gap.SEEN
    assert cursor.take(batch(3, 1)) is Gap.MISSING
    assert cursor.take(batch(1, 3)) == (frame(2), frame(3))
    assert cursor.next == 4


def test_after_the_ending_nothing_more_is_delivered() -> None:
    """A stray batch of a response that ended is dropped."""
    cursor = Cursor()
    cursor.take_logged([frame(0), ending(1)])
    assert cursor.take(batch(2, 1)) is Gap.ENDED


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.INCOMPLETE, Status.FAILED, Status.CANCELLED])
def test_each_kind_of_ending_is_seen_with_its_status(kind: str, status: Status) -> None:
    """Only a terminal event ends; its response says how."""
    last = encode({"type": f"response.{kind}", "sequence_number": 0, "response": {"status": status}})
    cursor = Cursor()
    cursor.take_logged([last])
    assert cursor.ended is status
    assert terminal_status(last) is status


def test_words_like_an_ending_end_nothing() -> None:
    """Text that quotes a terminal event, and types that begin alike, are no endings."""
    cursor = Cursor()
    cursor.take_logged([encode({"type": "response.output_text.delta", "delta": '{"type":"response.completed",'})])
    cursor.take_logged([encode({"type": "response.completed_later", "response": {"status": "completed"}})])
    assert cursor.ended is None
