import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import ContractError
from andon.frames import Batch, DeltaFramer, decode, envelope, event_frame, parse_batch, piece_frame
from andon.ids import ResponseId
from andon.pieces import Delta, Event
from tests.unit.pieces import outputs

RID = ResponseId("resp_x")

deltas = st.builds(
    Delta,
    st.sampled_from(["response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta"]),
    st.text(max_size=10),
    st.integers(min_value=0, max_value=9),
    st.none() | st.tuples(st.sampled_from(["content_index", "summary_index"]), st.integers(min_value=0, max_value=9)),
    st.text(),
)


def body_of(delta: Delta) -> dict[str, object]:
    """Say as an event's body what a delta is."""
    body: dict[str, object] = {"item_id": delta.item_id, "output_index": delta.output_index}
    if delta.part is not None:
        body[delta.part[0]] = delta.part[1]
    body["delta"] = delta.text
    if delta.type == "response.output_text.delta":
        body["logprobs"] = []
    return body


@given(st.lists(deltas, min_size=1), st.text(max_size=5) | st.none())
def test_the_fast_framer_makes_the_event_that_the_slow_one_makes(made: list[Delta], stream_id: str | None) -> None:
    """Constant members are encoded once a part; the JSON is the same, whatever came before."""
    members = envelope(RID, stream_id)
    framer = DeltaFramer(members)
    for number, delta in enumerate(made):
        frame = framer.frame(delta, number)
        assert decode(frame) == decode(event_frame(delta.type, number, members, body_of(delta)))
        assert frame == piece_frame(delta, number, members, framer)


@given(st.dictionaries(st.text(max_size=5), st.text(), max_size=3), st.text(max_size=5))
def test_an_events_own_members_follow_type_number_and_envelope(body: dict[str, str], stream_id: str) -> None:
    """A gateway and a replay see the same bytes; nothing of the body is lost."""
    body = {f"x{name}": value for name, value in body.items()}
    frame = event_frame("response.some", 7, envelope(RID, stream_id), body)
    assert frame.startswith(b'{"type":"response.some","sequence_number":7,"response_id":"resp_x"')
    assert decode(frame) == {
        "type": "response.some", "sequence_number": 7, "response_id": RID, "stream_id": stream_id, **body,
    }  # fmt: skip


@given(outputs(), st.integers(min_value=0, max_value=10**6), st.booleans())
def test_a_published_batch_comes_apart_as_it_was_put_together(
    pieces: list[Delta | Event], first: int, terminal: bool
) -> None:
    """No frame holds a raw newline, so newlines part them: any text, any event."""
    members = envelope(RID, "lane\n")
    framer = DeltaFramer(members)
    frames = [piece_frame(piece, first + n, members, framer) for n, piece in enumerate(pieces)]
    assert not any(b"\n" in frame for frame in frames)
    header = b"%b %d %d %b" % (RID.encode(), first, first + len(frames) - 1, b"!" if terminal else b".")
    batch = parse_batch(b"\n".join([header, *frames]))
    assert batch == Batch(RID, first, tuple(frames), terminal)
    assert batch.after == first + len(frames)


def test_a_batch_too_large_to_be_published_is_named_by_its_header_alone() -> None:
    """Whoever listens reads it from the log."""
    assert parse_batch(b"resp_x 5 9 !") == Batch(ResponseId("resp_x"), 5, (), terminal=True)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"resp_x 0 1 .\n{}",
        b"resp_x 0 .\n{}",
        b"hello\nworld",
        b"resp_x 0 0 . more\n{}",
    ],
)
def test_a_foreign_message_is_a_contract_error(message: bytes) -> None:
    """What our scripts did not publish is not delivered to anybody."""
    with pytest.raises(ContractError):
        parse_batch(message)


@given(st.binary(max_size=60))
def test_no_message_breaks_the_reader(message: bytes) -> None:
    """A foreign writer in our channel costs a log line: the two errors that the hub catches, and no others."""
    try:
        assert isinstance(parse_batch(message), msgspec.Struct)
    except (ContractError, ValueError):
        return
