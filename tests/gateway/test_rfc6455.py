import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol

from gateway.rfc6455 import FrameReader, Kind, ViolationError, close_frame, continuation, frame
from tests.fuzz.wire import BINARY, CLOSE, PING, PONG, TEXT
from tests.fuzz.wire import frame as sent

MOST_BYTES = 1000
CONTINUATION = 0
# What came, in order, and the code of the rule that was broken; None: none was.
Heard = tuple[list[tuple[int, bytes]], int | None]


def read(pieces: list[bytes], most_bytes: int = MOST_BYTES) -> Heard:
    """Feed our reader as the socket does: up to a close, or a violation."""
    reader, heard = FrameReader(most_bytes), list[tuple[int, bytes]]()
    try:
        for piece in pieces:
            if (text := reader.lone_text(piece)) is not None:
                heard.append((TEXT, text))
                continue
            for kind, payload in reader.feed(piece):
                heard.append((int(kind), payload))
                if kind is Kind.CLOSE:
                    return heard, None
    except ViolationError as violation:
        return heard, violation.code
    return heard, None


def read_by_websockets(data: bytes) -> Heard:
    """Feed the core of `websockets`, and put its frames together: it leaves messages, and their UTF-8, to others."""
    core, heard = Protocol(SERVER, max_size=MOST_BYTES), list[tuple[int, bytes]]()
    core.receive_data(data)
    message: list[bytes] = []
    kind = 0
    for event in core.events_received():
        assert isinstance(event, Frame)
        payload = bytes(event.data)
        if event.opcode not in {Opcode.CONT, Opcode.TEXT, Opcode.BINARY}:
            heard.append((int(event.opcode), payload))
            continue
        kind = kind if event.opcode is Opcode.CONT else int(event.opcode)
        message.append(payload)
        if event.fin:
            whole, message = b"".join(message), []
            if kind == TEXT and not is_utf8(whole):
                return heard, 1007
            heard.append((kind, whole))
    if core.parser_exc is None:
        return heard, None
    return heard, None if core.close_sent is None else int(core.close_sent.code)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


PAYLOADS = st.binary(max_size=90) | st.text(max_size=20).map(str.encode)
# Whole frames, each of which breaks one rule at most by itself: where two are broken, it is open which is told.
FRAMES = st.one_of(
    st.builds(sent, st.just(TEXT), st.text(max_size=20).map(str.encode)),
    st.builds(sent, st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION]), PAYLOADS, fin=st.booleans()),
    st.builds(sent, st.sampled_from([PING, PONG]), PAYLOADS),
    st.builds(
        lambda code, reason: sent(CLOSE, struct.pack("!H", code) + reason),
        st.integers(990, 1020) | st.integers(2990, 5010),
        PAYLOADS,
    ),
    st.sampled_from([sent(CLOSE, b""), sent(CLOSE, b"\x03"), sent(PING, b"", fin=False), sent(PING, b"x" * 126)]),
    st.builds(sent, st.sampled_from([TEXT, BINARY]), st.just(b"x" * (MOST_BYTES + 1))),
    st.builds(sent, st.integers(3, 7) | st.integers(11, 15), st.just(b"x")),
    st.builds(sent, st.sampled_from([TEXT, PING]), st.just(b"x"), reserved=st.integers(1, 7)),
    st.builds(sent, st.sampled_from([TEXT, PING]), st.just(b"x"), masked=st.just(False)),
)


def is_cut_short(heard: Heard, reference: Heard) -> bool:
    """Tell whether a close came within a fragmented message: RFC 6455 (5.4) allows it, and `websockets` does not."""
    return bool(heard[0]) and heard[0][-1][0] == CLOSE and reference == (heard[0][:-1], 1002)


def is_twice_wrong(heard: Heard, reference: Heard) -> bool:
    """Tell whether a message that is too big begins within another: `websockets` looks at its size first."""
    return heard == (reference[0], 1002) and reference[1] == 1009


@given(st.lists(FRAMES, max_size=6).map(b"".join), st.lists(st.integers(0, 1500), max_size=6))
def test_whatever_comes_is_read_as_websockets_reads_it(data: bytes, cuts: list[int]) -> None:
    """The same messages, in the same order, and the same code for the first rule that is broken, in any pieces."""
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    heard, reference = read(pieces), read_by_websockets(data)
    assert heard == reference or is_cut_short(heard, reference) or is_twice_wrong(heard, reference)
    assert read([bytes([byte]) for byte in data]) == heard


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sent(TEXT, b"x", reserved=4), 1002),
        (sent(TEXT, b"x", masked=False), 1002),
        (sent(3, b""), 1002),
        (sent(PING, b"", fin=False), 1002),
        (sent(PING, b"x" * 126), 1002),
        (sent(CONTINUATION, b"x"), 1002),
        (sent(TEXT, b"x", fin=False) + sent(TEXT, b"x"), 1002),
        (sent(CLOSE, b"\x03"), 1002),
        (sent(CLOSE, struct.pack("!H", 1005)), 1002),
        (sent(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (sent(TEXT, b"\xff"), 1007),
        (sent(TEXT, b"\xe2", fin=False) + sent(CONTINUATION, b"\x82"), 1007),
        (sent(TEXT, b"x" * (MOST_BYTES + 1)), 1009),
        (sent(TEXT, b"x" * 600, fin=False) + sent(CONTINUATION, b"x" * 401), 1009),
        (b"\x81\xff" + b"\xff" * 8, 1009),
    ],
)
def test_a_broken_rule_is_told_by_its_code(data: bytes, code: int) -> None:
    """What came whole before it is told first."""
    before = sent(PING, b"before")
    assert read([before + data]) == ([(PING, b"before")], code)


def test_a_frame_that_would_be_too_large_is_not_waited_for() -> None:
    """Its head is enough: nothing of it is held."""
    whole = sent(BINARY, b"x" * (MOST_BYTES + 1))
    assert read([whole[:4]]) == ([], 1009)


def test_control_frames_come_between_the_pieces_of_a_message() -> None:
    """And count nothing towards its size; a character may be cut by the pieces."""
    pieces = [
        sent(TEXT, b"x" * 997 + b"\xe2", fin=False),
        sent(PING, b"y" * 125),
        sent(CONTINUATION, b"\x82", fin=False),
        sent(PONG, b""),
        sent(CONTINUATION, b"\xac"),
        sent(BINARY, b""),
    ]
    text = b"x" * 997 + "€".encode()
    assert read(pieces) == ([(PING, b"y" * 125), (PONG, b""), (TEXT, text), (BINARY, b"")], None)


def test_a_message_just_within_the_bound_is_read() -> None:
    """Also one of which the length is said in 64 bits."""
    assert read([sent(TEXT, b"x" * MOST_BYTES)]) == ([(TEXT, b"x" * MOST_BYTES)], None)
    long = b"\x81\xff" + struct.pack("!Q", 3) + bytes(4) + b"abc"
    assert read([long]) == ([(TEXT, b"abc")], None)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_written_as_websockets_writes_them(size: int) -> None:
    """Heads of all three lengths, whole texts and pieces."""
    payload = b"x" * size
    assert frame(Kind.TEXT, payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert frame(Kind.TEXT, payload, is_last=False) == Frame(Opcode.TEXT, payload, fin=False).serialize(mask=False)
    assert continuation(payload, is_last=True) == Frame(Opcode.CONT, payload).serialize(mask=False)


def test_a_close_is_written_with_its_reason() -> None:
    """Two bytes of the code, then UTF-8."""
    assert close_frame(1000, "stopped") == b"\x88\x09\x03\xe8stopped"
