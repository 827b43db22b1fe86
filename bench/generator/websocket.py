"""WebSocket: a client's connection, bare (RFC 6455), for a load generator.

Owns handshake and framing. Frames go out with the mask zero and the handshake's key is constant: both are for a
server on this very machine, and save what would otherwise be counted against it. Does not own what a frame means.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

_KEY: Final = "YmVuY2gtb2YtYW5kb24tMA=="
_FINAL_TEXT: Final = 0x81
_CONTINUATION, _CLOSE, _PING = 0x0, 0x8, 0x9
_NO_MASK: Final = b"\0\0\0\0"


class WebSocketError(Exception):
    """The server refused the socket, or broke off."""


class WebSocket(asyncio.Protocol):
    """One connection. `on_frame` is called with each text, `on_closed` once, when an open socket has gone."""

    def __init__(self, target: str, on_frame: Callable[[bytes], None], on_closed: Callable[[], None]) -> None:
        self._target = target
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        # Bytes that are not a whole frame yet.
        self._rest = b""
        # The texts of a message that comes in pieces.
        self._pieces: list[bytes] = []
        self._is_open = False
        # Done when the handshake is.
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The code that the server closed with; 1006 where it said none.
        self.close_code = 1006

    @classmethod
    async def open(
        cls, port: int, target: str, on_frame: Callable[[bytes], None], on_closed: Callable[[], None]
    ) -> "WebSocket":
        """Connect to 127.0.0.1, and return when the handshake is done. Raises WebSocketError or OSError."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: cls(target, on_frame, on_closed), "127.0.0.1", port)
        await socket.opened
        return socket

    def send(self, text: bytes) -> None:
        """Send a text frame."""
        assert self._transport is not None
        size = len(text)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + _NO_MASK + text)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        request = (
            f"GET {self._target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._transport.write(request.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell."""
        if not self.opened.done():
            self.opened.set_exception(WebSocketError(f"the server closed during the handshake: {exc}"))
        if self._is_open:
            self._is_open = False
            self._on_closed()

    def data_received(self, data: bytes) -> None:
        """Read frames. The first case is nearly every one: one short text frame, whole."""
        size = len(data)
        if not self._rest and self._is_open and data[0] == _FINAL_TEXT:
            length = data[1]
            if length == size - 2 and length < 126:
                self._on_frame(data[2:])
                return
            if length == 126 and (data[2] << 8 | data[3]) == size - 4:
                self._on_frame(data[4:])
                return
        self._rest = self._rest + data if self._rest else data
        if not self._is_open and not self._read_handshake():
            return
        self._read_frames()

    def _read_handshake(self) -> bool:
        head, separator, rest = self._rest.partition(b"\r\n\r\n")
        if not separator:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            if not self.opened.done():
                self.opened.set_exception(WebSocketError(head.split(b"\r\n", 1)[0].decode(errors="replace")))
            self.abort()
            return False
        self._rest, self._is_open = rest, True
        self.opened.set_result(None)
        return True

    def _read_frames(self) -> None:
        data, at, size = self._rest, 0, len(self._rest)
        while size - at >= 2:
            length, start = data[at + 1] & 0x7F, at + 2
            if length == 126:
                start = at + 4
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length == 127:
                start = at + 10
                length = int.from_bytes(data[at + 2 : start], "big")
            if size < start or size - start < length:
                break
            first, at = data[at], start + length
            self._take(first, data[start:at])
        self._rest = data[at:]

    def _take(self, first: int, payload: bytes) -> None:
        if first == _FINAL_TEXT:
            self._on_frame(payload)
            return
        opcode, is_final = first & 0x0F, bool(first & 0x80)
        if opcode == _PING:
            assert self._transport is not None
            self._transport.write(bytes((0x8A, 0x80 | len(payload))) + _NO_MASK + payload)
        elif opcode == _CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            assert self._transport is not None
            self._transport.write(b"\x88\x80" + _NO_MASK)
            self._transport.close()
        elif not is_final:
            self._pieces.append(payload)
        elif opcode == _CONTINUATION:
            whole = b"".join((*self._pieces, payload))
            self._pieces = []
            self._on_frame(whole)
