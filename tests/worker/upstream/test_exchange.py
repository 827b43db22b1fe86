"""How much of what arrives at once is head, and how much is body: a network decides that, so no server can plan it."""

import httpx2
import pytest

from worker.upstream.exchange import Exchange

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 400000\r\n\r\n"
_BODY = b"x" * 400_000


class QuietWire:
    """A connection that takes note of what is asked of it."""

    def __init__(self) -> None:
        self.is_held = False
        self.is_closed = False
        self.is_finished = False

    def hold(self) -> None:
        """Take note."""
        self.is_held = True

    def go_on(self) -> None:
        """Take note."""
        self.is_held = False

    def finished(self, *, reusable: bool) -> None:
        """Take note."""
        self.is_finished = reusable

    def shut(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Take note."""
        self.is_closed = True


async def test_a_large_body_may_come_with_its_head() -> None:
    """What a quick server has sent before we looked is read in one go; it is no large head."""
    wire = QuietWire()
    exchange = Exchange(wire, read_timeout_s=None)
    exchange.feed(_HEAD + _BODY[:300_000])
    assert (await exchange.head).status == httpx2.codes.OK
    assert wire.is_held  # more than is held for nobody
    exchange.feed(_BODY[300_000:])
    assert await exchange.read() == _BODY
    assert (wire.is_held, wire.is_closed, wire.is_finished) == (False, False, True)


@pytest.mark.parametrize("line", [b"x: " + b"y" * 200 + b"\r\n", b"y"], ids=["many headers", "no line end"])
async def test_a_head_without_end_is_broken_off(line: bytes) -> None:
    """Whether it comes as headers or as nothing that could be one."""
    wire = QuietWire()
    exchange = Exchange(wire, read_timeout_s=None)
    exchange.feed(b"HTTP/1.1 200 OK\r\n" + (b"x: " if line == b"y" else b""))
    for _ in range(30):
        exchange.feed(line * (4096 // len(line)))
    with pytest.raises(httpx2.RemoteProtocolError, match="too large"):
        await exchange.head
    assert wire.is_closed
