from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstream.errors import SseEventTooLargeError
from worker.upstream.sse import SseEvent, SseParser


def parse(stream: bytes) -> list[SseEvent]:
    return SseParser().feed(stream)


def test_an_event_has_its_name_and_its_data() -> None:
    """The usual event of a model's stream comes out as it is."""
    assert parse(b'event: response.x\ndata: {"a":1}\n\n') == [SseEvent("response.x", b'{"a":1}')]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_any_line_end_will_do(end: bytes) -> None:
    """LF, CR and CRLF all end lines."""
    stream = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    assert parse(stream) == [SseEvent("a", b"1"), SseEvent("message", b"2")]


def test_several_data_lines_are_joined_by_a_line_feed() -> None:
    """A datum may span lines."""
    assert parse(b"data: a\ndata:b\ndata:  c\n\n") == [SseEvent("message", b"a\nb\n c")]


def test_comments_ids_and_retries_are_read_over() -> None:
    """A keep-alive comment is no event."""
    assert parse(b": ping\n\nid: 3\nretry: 5\nother: x\n: more\ndata: a\n\n") == [SseEvent("message", b"a")]


def test_the_standards_example_of_empty_data_holds() -> None:
    """`data` without a value dispatches; an event cut off at the end does not."""
    assert parse(b"data\n\ndata\ndata\n\ndata:") == [SseEvent("message", b""), SseEvent("message", b"\n")]


def test_a_name_without_data_dispatches_nothing_and_is_forgotten() -> None:
    """The name belongs to one event only."""
    assert parse(b"event: a\n\ndata: 1\n\nevent: b\nevent\ndata: 2\n\n") == [
        SseEvent("message", b"1"),
        SseEvent("message", b"2"),
    ]


def test_one_leading_byte_order_mark_is_dropped() -> None:
    """Only at the very beginning, and only one."""
    mark = b"\xef\xbb\xbf"
    assert parse(mark + b"data: " + mark + b"\n\n") == [SseEvent("message", mark)]
    assert parse(mark + mark + b"data: 1\n\n") == []


def test_an_event_is_dispatched_by_a_lone_carriage_return_at_once() -> None:
    """Nothing waits for a line feed that may never come, and one that comes ends no second line."""
    parser = SseParser()
    assert parser.feed(b"data: 1\r\r") == [SseEvent("message", b"1")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: 2\r") == []
    assert parser.feed(b"\n\r") == [SseEvent("message", b"2")]


@pytest.mark.parametrize(
    ("stream", "half"),
    [
        (b"", False),
        (b"data: 1\n\n", False),
        (b"data: 1\n\n: comm", False),
        (b"data: 1\n", True),
        (b"data: 1", True),
        (b"event: a\n", True),
        (b"\xef\xbb", True),
    ],
)
def test_eof_tells_whether_half_an_event_was_left(stream: bytes, half: bool) -> None:
    """A stream that was cut within an event can be told from one that ended between two."""
    parser = SseParser()
    parser.feed(stream)
    assert parser.eof() is half


@pytest.mark.parametrize("piece", [b"data: 0123456789", b"data: 01234567\n", b"0123456789"])
def test_an_event_beyond_the_limit_is_refused(piece: bytes) -> None:
    """Neither a line without an end nor lines without an end fill the memory."""
    parser = SseParser(limit_bytes=100)
    with pytest.raises(SseEventTooLargeError, match="100 bytes"):  # noqa: PT012 - which feed it is matters not
        for _ in range(20):
            parser.feed(piece)


def test_the_limit_is_for_one_event_not_for_the_stream() -> None:
    """A long stream of small events is fine."""
    parser = SseParser(limit_bytes=100)
    assert sum(len(parser.feed(b"data: 0123456789\n\n: comment\n")) for _ in range(100)) == 100


_LINES = st.lists(
    st.sampled_from(
        ["data: 1", "data:ä€😀", "data", "event: x", "event:ünï", ":c", "id: 7", "", "", "\ufeffdata: b", "junk"]
    ),
    max_size=25,
)
_ENDS = st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=25, max_size=25)


@given(lines=_LINES, ends=_ENDS, cuts=st.lists(st.integers(0, 300), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events(lines: list[str], ends: list[str], cuts: list[int]) -> None:
    """TCP may cut anywhere: within a line end, within a character, within the byte order mark."""
    stream = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    parser = SseParser()
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events = [event for start, end in pairwise(marks) for event in parser.feed(stream[start:end])]
    bytewise = SseParser()
    assert events == parse(stream) == [e for byte in stream for e in bytewise.feed(bytes([byte]))]


@given(lines=_LINES, ends=_ENDS)
def test_the_events_are_those_of_the_standard(lines: list[str], ends: list[str]) -> None:
    """The fast parser agrees with the standard's own words, written down slowly."""
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    expected, data, name = [], "", ""
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                expected.append(SseEvent(name or "message", data.removesuffix("\n").encode()))
            data = name = ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            name = value
    assert parse(text.encode()) == expected
