from hypothesis import given
from hypothesis import strategies as st

from andon.frames import decode, encode, envelope
from andon.ids import ResponseId, WorkerId
from andon.output import OutputFold
from andon.pieces import Delta, Event
from andon.replies import Claimed
from tests.unit.pieces import message, outputs
from worker.backlog import text_of
from worker.logbook import Logbook

RID = ResponseId("resp_x")
JOB = Claimed(RID, WorkerId("w"), 1, 2, b"{}", envelope(RID, None), b"{", b"{", 0)


def made() -> Logbook:
    """Open the logbook of a job that was just claimed."""
    return Logbook(JOB, most_bytes=10**9)


def numbers(frames: list[bytes]) -> list[int]:
    """Read the sequence numbers of frames."""
    return [decode(frame)["sequence_number"] for frame in frames]


@given(outputs(), st.data())
def test_the_log_is_gapless_whatever_became_of_the_replies(pieces: list[Delta | Event], data: st.DataObject) -> None:
    """Batches whose reply was lost, and which entered the log or not: numbers are indexes, text counts once."""
    book, log = made(), [b"created", b"in_progress"]

    def send() -> None:
        frames = book.depart()
        if not frames:
            return
        assert numbers(frames) == list(range(book.next, book.next + len(frames)))
        if book.next == len(log) and data.draw(st.booleans()):
            log.extend(frames)
        elif book.next != len(log):
            assert log[book.next :] == frames  # sent again: the same numbers, the same bytes
        if data.draw(st.booleans()):
            book.arrived(len(log))

    for count, piece in enumerate(pieces, start=1):
        book.backlog.add(piece)
        if data.draw(st.booleans()):
            send()
        assert sorted(book.received_text()) == sorted(text_of(pieces[:count]))
    book.arrived(len(log))
    while frames := book.in_flight():
        log.extend(frames)
        book.arrived(len(log))
    log.extend(book.last_frames())
    assert numbers(log[2:]) == list(range(2, len(log)))
    fold = OutputFold()
    fold.add_frames(log[2:])
    assert book.output() == fold.items()


def test_a_stranger_length_is_no_answer_for_the_batch_in_flight() -> None:
    """All of the batch is in the log, or nothing of it."""
    book = made()
    for piece in message(0, ["a"], [], 0)[:3]:
        book.backlog.add(piece)
    frames = book.depart()
    book.arrived(2)
    assert (book.next, book.in_flight()) == (2, frames)
    book.arrived(5)
    assert (book.next, book.in_flight()) == (5, [])


def test_an_untouched_run_may_be_queued_again() -> None:
    """Nothing of the model's received, on its way, or logged."""
    book = made()
    untouched = [book.is_untouched]
    book.backlog.add(message(0, [], [], 0)[0])
    untouched.append(book.is_untouched)
    book.depart()
    untouched.append(book.is_untouched)
    book.arrived(3)
    untouched.append(book.is_untouched)
    assert untouched == [True, False, False, False]


def test_an_ending_forestalled_by_a_mark_folds_what_the_log_really_holds() -> None:
    """What was folded with the ending that the mark refused is no output, but it was paid for."""
    whole = message(0, ["logged", "late"], [], 0)
    book = made()
    for piece in whole[:3]:
        book.backlog.add(piece)
    logged = book.depart()
    book.arrived(2 + len(logged))
    for piece in whole[3:]:
        book.backlog.add(piece)
    book.last_frames()
    assert book.output()[0]["status"] == "completed"
    book.refold(logged)
    (item,) = book.output()
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "logged")
    assert book.received_text() == "loggedlate"
    assert not book.is_ahead


def test_frames_carry_the_jobs_envelope() -> None:
    """Every event names the response."""
    book = made()
    book.backlog.add(message(0, [], [], 0)[0])
    (frame,) = book.depart()
    assert decode(frame)["response_id"] == RID
    assert encode(RID) in frame
