import asyncio
import struct
from collections.abc import Callable
from functools import partial

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from gateway.keepalive import Keepalive
from gateway.lookout import BLIND
from gateway.open_socket import OpenSocket
from tests.fuzz.wire import BINARY, CLOSE, PING, PONG, TEXT
from tests.fuzz.wire import frame as sent
from tests.stack.waiting import wait_until


class Pipe(asyncio.Transport):
    """A transport whose other end is the client core of `websockets`, which judges whatever the server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.client = Protocol(CLIENT)
        # Frames that the client got.
        self.frames: list[tuple[int, bytes]] = []
        # How the server ended the connection.
        self.ends: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.client.receive_data(bytes(data))
        assert self.client.parser_exc is None
        for event in self.client.events_received():
            assert isinstance(event, Frame)
            self.frames.append((int(event.opcode), bytes(event.data)))

    @property
    def is_closed(self) -> bool:
        return bool(self.ends)

    @property
    def is_aborted(self) -> bool:
        return "abort" in self.ends

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")


class Listener:
    """An endpoint that takes note."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.on_heard: Callable[[], None] | None = None

    def on_text(self, text: bytes) -> None:
        self.heard.append(text)
        if self.on_heard is not None:
            self.on_heard()

    def on_binary(self) -> None:
        self.heard.append("binary")

    def on_writable(self) -> None:
        self.heard.append("writable")

    def on_gone(self) -> None:
        self.heard.append("gone")


class Opened:
    """An open socket with both its ends."""

    def __init__(self, keepalive: Keepalive | None = None) -> None:
        self.pipe = Pipe()
        self.listener = Listener()
        self.lost: list[OpenSocket] = []
        self.socket = OpenSocket(
            self.pipe,
            most_bytes=1000,
            is_paused=False,
            keepalive=keepalive or Keepalive(None, None),
            lookout=BLIND,
            on_lost=self.lost.append,
        )
        self.socket.begin(self.listener)

    @property
    def pings(self) -> list[bytes]:
        return [payload for opcode, payload in self.pipe.frames if opcode == PING]

    @property
    def close_frame(self) -> tuple[int, str]:
        opcode, payload = self.pipe.frames[-1]
        assert opcode == CLOSE
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


@pytest.fixture
async def opened() -> Opened:
    return Opened()


async def test_what_comes_is_told_at_once(opened: Opened) -> None:
    """Texts whole, whatever came between their pieces; of a binary message only that it came."""
    opened.socket.data_received(sent(TEXT, b"a", fin=False) + sent(PING, b"p") + sent(0, b"b") + sent(BINARY, b"x"))
    assert opened.listener.heard == [b"ab", "binary"]
    assert opened.pipe.frames == [(PONG, b"p")]


async def test_the_servers_close_waits_for_the_clients(opened: Opened) -> None:
    """The endpoint is told that it is over, but not within its own call; the connection ends with the answer."""
    opened.socket.close(1000, "stopped")
    assert opened.listener.heard == []
    await wait_until(lambda: opened.listener.heard == ["gone"])
    opened.socket.data_received(sent(TEXT, b"late") + sent(PING, b"late"))
    assert opened.pipe.ends == []
    opened.socket.data_received(sent(CLOSE, struct.pack("!H", 1000)))
    assert opened.pipe.ends == ["close"]
    assert opened.pipe.frames == [(CLOSE, struct.pack("!H", 1000) + b"stopped")]
    assert opened.listener.heard == ["gone"]


async def test_the_clients_close_is_answered_with_its_own_words(opened: Opened) -> None:
    """What it sends after that is not read (RFC 6455, section 1.4)."""
    close = struct.pack("!H", 3001) + b"bye"
    opened.socket.data_received(sent(CLOSE, close) + sent(TEXT, b"late"))
    opened.socket.data_received(b"\xff" * 20)
    assert opened.pipe.frames == [(CLOSE, close)]
    assert opened.pipe.is_closed
    await wait_until(lambda: opened.listener.heard == ["gone"])


async def test_nothing_is_sent_after_a_close(opened: Opened) -> None:
    """Also no second close: the first stays."""
    opened.socket.close(1000, "stopped")
    opened.socket.send_text(b"late")
    opened.socket.close(1011, "internal")
    assert opened.close_frame == (1000, "stopped")
    assert len(opened.pipe.frames) == 1
    assert not opened.socket.is_writable


@pytest.mark.parametrize(
    ("data", "code"),
    [(sent(TEXT, b"x", masked=False), 1002), (sent(TEXT, b"\xff"), 1007), (sent(TEXT, b"x" * 1001), 1009)],
)
async def test_a_broken_rule_ends_the_connection(opened: Opened, data: bytes, code: int) -> None:
    """The client is told why, and not waited for."""
    opened.socket.data_received(sent(TEXT, b"good") + data + sent(TEXT, b"late"))
    assert opened.close_frame[0] == code
    assert opened.pipe.is_closed
    await wait_until(lambda: opened.listener.heard == [b"good", "gone"])


async def test_a_close_within_a_call_ends_the_reading(opened: Opened) -> None:
    """What came behind the text that the endpoint closed at is not told."""
    opened.listener.on_heard = lambda: opened.socket.close(1000, "done")
    opened.socket.data_received(sent(TEXT, b"first") + sent(TEXT, b"second"))
    await wait_until(lambda: opened.listener.heard == [b"first", "gone"])


async def test_a_lost_connection_is_told_once(opened: Opened) -> None:
    """Half-closed by the client, reset, or cut: the transport says no more than that."""
    assert not opened.socket.eof_received()
    opened.socket.connection_lost(ConnectionResetError())
    await wait_until(lambda: opened.listener.heard == ["gone"])
    assert opened.lost == [opened.socket]
    opened.socket.send_text(b"late")
    assert opened.pipe.frames == []


async def test_a_paused_transport_holds_up_the_sender(opened: Opened) -> None:
    """It is told when it may go on. Of the pings that came meanwhile only the last is answered."""
    opened.socket.pause_writing()
    states = [opened.socket.is_writable]
    opened.socket.data_received(sent(PING, b"1") + sent(PING, b"2"))
    assert opened.pipe.frames == []
    opened.socket.resume_writing()
    states.append(opened.socket.is_writable)
    assert states == [False, True]
    assert opened.pipe.frames == [(PONG, b"2")]
    assert opened.listener.heard == ["writable"]


async def test_a_text_goes_out_in_pieces(opened: Opened) -> None:
    """A ping may come between them."""
    opened.socket.send_text(b"a", is_last=False)
    opened.socket.ping()
    opened.socket.send_text(b"b", is_first=False)
    assert [opcode for opcode, _ in opened.pipe.frames] == [Opcode.TEXT, Opcode.PING, Opcode.CONT]


async def test_the_end_of_the_server_is_told_with_1012(opened: Opened) -> None:
    """What uvicorn calls for whatever the drain has left."""
    opened.socket.shutdown()
    assert opened.close_frame == (1012, "")
    assert opened.pipe.is_closed


async def test_who_answers_no_ping_is_cut() -> None:
    """A pong to another ping is no answer. The silent one is told why, in case it reads after all."""
    keepalive = Keepalive(0.05, 0.05)
    stale, dead = Opened(keepalive), Opened(keepalive)

    def look() -> bool:
        if stale.pings and not stale.pipe.is_closed:
            stale.socket.data_received(sent(PONG, stale.pings[-1] + b"!"))
        return dead.pipe.is_aborted and stale.pipe.is_aborted

    await wait_until(look)
    assert dead.close_frame == (1011, "keepalive ping timeout")
    assert stale.close_frame == (1011, "keepalive ping timeout")


def has_pings(opened: Opened, number: int) -> bool:
    return len(opened.pings) == number


async def test_who_answers_is_pinged_again_and_stays() -> None:
    """And is pinged no more when it has left."""
    keepalive = Keepalive(0.05, 60)
    alive, other = Opened(keepalive), Opened(keepalive)
    for number in (1, 2, 3):
        await wait_until(partial(has_pings, alive, number))
        alive.socket.data_received(sent(PONG, alive.pings[-1]))
        other.socket.data_received(sent(PONG, other.pings[-1] if other.pings else b""))
    assert not alive.pipe.is_closed
    alive.socket.connection_lost(None)
    left_with, others = len(alive.pings), len(other.pings)

    def other_is_pinged() -> bool:
        other.socket.data_received(sent(PONG, other.pings[-1]))
        return len(other.pings) > others

    await wait_until(other_is_pinged)
    assert len(alive.pings) == left_with
