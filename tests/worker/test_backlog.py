from hypothesis import given
from hypothesis import strategies as st

from andon.output import OutputFold
from andon.pieces import Delta, Event
from tests.unit.pieces import call, cut_outputs, message, outputs
from worker.backlog import Backlog, text_of

BOUND = 64 * 1024


def said(text: str, part: int = 0) -> Delta:
    """Make a text delta."""
    return Delta("response.output_text.delta", "m", 0, ("content_index", part), text)


def folded(pieces: list[Delta | Event]) -> object:
    """Fold pieces into items."""
    fold = OutputFold()
    for piece in pieces:
        fold.add(piece)
    return fold.items()


def test_deltas_of_one_part_merge_and_others_do_not() -> None:
    """While a flush is in flight, text gathers into one event; another part begins another."""
    backlog = Backlog(BOUND)
    for piece in (said("a"), said("b"), said("c", 1), said("d", 1), said("e")):
        backlog.add(piece)
    assert backlog.take() == [said("ab"), said("cd", 1), said("e")]
    assert not backlog
    assert backlog.take() == []


def test_an_event_between_deltas_parts_them() -> None:
    """Order is never changed for the sake of merging."""
    note = Event("response.output_text.annotation.added", {"output_index": 0})
    backlog = Backlog(BOUND)
    for piece in (said("a"), note, said("b")):
        backlog.add(piece)
    assert backlog.take() == [said("a"), note, said("b")]


def test_trailing_done_events_wait_for_what_follows() -> None:
    """They enter the log with the ending or not at all: no `*.done` precedes a stopped ending."""
    whole = message(0, ["a"], [], 0)
    backlog = Backlog(BOUND)
    for piece in whole[:5]:
        backlog.add(piece)
    assert backlog.take() == whole[:3]  # text.done and content_part.done are held
    assert backlog
    backlog.add(whole[5])
    assert backlog.take() == whole[3:6]
    for piece in whole[6:]:
        backlog.add(piece)
    assert backlog.take() == []
    assert backlog.take_all() == whole[6:]
    assert not backlog


@given(outputs(), st.data())
def test_what_is_taken_is_what_was_added(pieces: list[Delta | Event], data: st.DataObject) -> None:
    """Whenever it is taken, looked at or left to gather: the same output, the same text, in order."""
    backlog = Backlog(10**9)
    taken: list[Delta | Event] = []
    for number, piece in enumerate(pieces, start=1):
        backlog.add(piece)
        if data.draw(st.booleans()):
            batch = backlog.take()
            assert not (batch and isinstance(batch[-1], Event) and batch[-1].type.endswith(".done"))
            taken += batch
        if data.draw(st.booleans()):
            assert text_of(taken) + backlog.text() == text_of(pieces[:number])
    taken += backlog.take_all()
    assert folded(taken) == folded(pieces)
    assert text_of(taken) == text_of(pieces)


@given(cut_outputs())
def test_looking_at_the_text_loses_none_of_it(pieces: list[Delta | Event]) -> None:
    """The count of what was received may be asked for at any moment."""
    backlog = Backlog(10**9)
    for number, piece in enumerate(pieces, start=1):
        backlog.add(piece)
        assert backlog.text() == text_of(pieces[:number])
    assert text_of(backlog.take_all()) == text_of(pieces)


def test_the_bound_counts_merged_text_and_held_events() -> None:
    """A buffer that grows is seen to grow, in bytes, however it is merged."""
    backlog = Backlog(BOUND)
    while not backlog.overfull:
        backlog.add(said("é" * 500))
    assert BOUND / 1000 <= len(backlog.text()) / 500 <= BOUND / 1000 + 1
    backlog.take()
    assert not backlog.overfull


def test_held_done_events_have_a_bound_of_their_own() -> None:
    """The `*.done` events of a long answer repeat its text: they do not fail it at its end, but are bounded."""
    backlog = Backlog(4000)
    pieces = message(0, ["x" * 1500], [], 0)
    dones = [piece for piece in pieces if piece.type.endswith(".done")]
    for piece in dones:
        backlog.add(piece)
    assert not backlog.overfull  # three events of 1500 bytes are held
    for piece in dones * 20:
        backlog.add(piece)
    assert backlog.overfull


def test_what_follows_held_done_events_lets_them_count() -> None:
    """An item that follows makes them loggable; then they are what a slow log must take."""
    backlog = Backlog(4000)
    for piece in [*message(0, ["x" * 1500], [], 0), said("y")]:
        backlog.add(piece)
    full = [backlog.overfull]
    backlog.take()
    full.append(backlog.overfull)
    assert full == [True, False]


def test_text_of_events_with_log_probabilities_counts() -> None:
    """Deltas that may not merge are text all the same."""
    event = Event("response.output_text.delta", {"output_index": 0, "delta": "x", "logprobs": [{"token": "x"}]})
    assert text_of([said("a"), event, *call(0, ["{}"], [], 0)]) == "ax{}"
