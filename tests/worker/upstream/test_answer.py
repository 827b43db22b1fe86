"""What of the bytes of an answer is head, and what is body, however a network cuts them."""

import httpx2
import pytest

from worker.upstream.answer import Answer, Head

_INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
_HEAD = b"HTTP/1.1 200 Fine\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_BODY = b"7\r\ndata: a\r\n8\r\n\n\ndata: \r\n3\r\nb\n\n\r\n0\r\nx-trailer: late\r\n\r\n"
_WHOLE = _INTERIM + _HEAD + _BODY


class Reader:
    """Takes bytes, and keeps what they were."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.answer = Answer(self.heads.append)
        self.body = b""

    def take(self, data: bytes) -> Exception | None:
        """Take bytes, and the body out of them."""
        error = self.answer.take(data)
        self.body += b"".join(self.answer.body)
        self.answer.body.clear()
        return error


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(_WHOLE)])
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(size: int) -> None:
    """One head, which is no interim one; the body without its chunks' frames; trailers are no headers."""
    reader = Reader()
    for at in range(0, len(_WHOLE), size):
        assert reader.take(_WHOLE[at : at + size]) is None
    (head,) = reader.heads
    assert (head.status, head.reason, head.http_version) == (httpx2.codes.OK, b"Fine", b"HTTP/1.1")
    assert [name for name, _ in head.headers] == [b"content-type", b"transfer-encoding"]
    assert reader.body == b"data: a\n\ndata: b\n\n"
    assert (reader.answer.is_complete, reader.answer.is_reusable) == (True, True)


@pytest.mark.parametrize("is_at_once", [True, False])
def test_of_a_second_answer_nothing_is_taken(is_at_once: bool) -> None:
    """It is to a request that nobody made: its body is no body, its head changes nothing, its connection is no good."""
    reader = Reader()
    second = b"HTTP/1.1 500 Other\r\ncontent-length: 5\r\n\r\nworse"
    for data in [_WHOLE + second] if is_at_once else [_WHOLE, second]:
        assert reader.take(data) is None
    (head,) = reader.heads
    assert (head.status, head.reason) == (httpx2.codes.OK, b"Fine")
    assert reader.body == b"data: a\n\ndata: b\n\n"
    assert not reader.answer.is_reusable


def test_what_the_head_is_refused_with_is_what_is_wrong_with_the_answer() -> None:
    """The parser's own words about it would say nothing."""

    def refuse(_: Head) -> None:
        raise httpx2.RemoteProtocolError("not this one")

    error = Answer(refuse).take(_WHOLE)
    assert isinstance(error, httpx2.RemoteProtocolError)
    assert str(error) == "not this one"
