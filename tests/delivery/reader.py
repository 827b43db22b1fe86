"""Reader: a WebSocket client that is as cheap as may be, and reads as badly as it is told.

Owns one connection: its handshake, its pongs, the count and the checksum of what came. Does not own what it means: no
JSON is parsed but that of the first and the last frame. For runs with hundreds of sockets, where a real client would
be what is measured, and for readers that are slow or do not read, which a real client cannot be.
"""

import asyncio
import base64
import os
import socket
import struct
import zlib
from typing import Any, Self
from urllib.parse import urlencode

import msgspec

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_SMALL_BUFFER_BYTES = 32 * 1024
_HANDSHAKE_S = 30.0

_TERMINAL = (b'{"type":"response.completed"', b'{"type":"response.incomplete"', b'{"type":"response.failed"')


class Reader(asyncio.Protocol):
    """One socket. `frames`, `bytes` and `crc` tell what came; `ended` and `closed` are what to wait for."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # What came and is not a whole frame yet; the HTTP head first.
        self._buffer = bytearray()
        # The pieces of a frame that is not whole yet.
        self._pieces: list[bytes] = []
        self.opened: asyncio.Future[None] = loop.create_future()
        # The terminal event of a response came.
        self.ended: asyncio.Future[dict[str, Any]] = loop.create_future()
        # The connection is gone: with this code (1006 if the server sent none).
        self.closed: asyncio.Future[int] = loop.create_future()
        self.frames = 0
        self.bytes = 0
        self.crc = 0
        # Loop times at which frames came: kept only where a list was put here.
        self.arrivals: list[float] | None = None
        # The code of the server's close frame.
        self._code = 1006
        # How fast it reads; 0: as fast as it comes.
        self._bytes_a_second = 0

    @classmethod
    async def open(cls, port: int, *, small_buffer: bool = False, **query: str | int) -> Self:
        """Connect to the gateway at a port of this machine. `small_buffer`: what is not read waits at the server."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if small_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        transport, reader = await loop.create_connection(cls, sock=sock)
        key = base64.b64encode(os.urandom(16)).decode()
        path = f"/v1/responses?{urlencode(query)}"
        transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(_HANDSHAKE_S):
            await reader.opened
        return reader

    def send(self, type_: str, **members: Any) -> None:
        """Send one frame."""
        self._send_frame(_TEXT, msgspec.json.encode({"type": type_, **members}))

    @property
    def port(self) -> int:
        """Return this side's port: by it the gateway's side of the connection can be found."""
        port: int = self._open_transport.get_extra_info("sockname")[1]
        return port

    def pause(self) -> None:
        """Read nothing more."""
        self._open_transport.pause_reading()

    def trickle(self, bytes_a_second: int) -> None:
        """Read so slowly from now on."""
        self._bytes_a_second = bytes_a_second

    def _go_on(self) -> None:
        if not self.closed.done():
            self._open_transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    # ── the protocol ─────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("the server hung up"))
        if not self.closed.done():
            self.closed.set_result(self._code)

    def data_received(self, data: bytes) -> None:
        """Count whole frames; keep what is not whole."""
        if self._bytes_a_second:
            self.pause()
            asyncio.get_running_loop().call_later(len(data) / self._bytes_a_second, self._go_on)
        self._buffer += data
        if not self.opened.done():
            head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(head.decode(errors="replace")[:200]))
                self.abort()
                return
            self._buffer = bytearray(rest)
            self.opened.set_result(None)
        self._take_frames()

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                start += 2
            elif length == 127:
                start += 8
            if start > at + 2:
                if len(buffer) < start:
                    break
                length = int.from_bytes(buffer[at + 2 : start])
            if len(buffer) < start + length:
                break
            self._take(buffer[at], bytes(memoryview(buffer)[start : start + length]))
            at = start + length
        if at:
            self._buffer = buffer[at:]

    def _take(self, head: int, payload: bytes) -> None:
        opcode, is_whole = head & 0x0F, head & 0x80
        if opcode == _PING:
            self._send_frame(_PONG, payload)
        elif opcode == _CLOSE:
            self._code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self._send_frame(_CLOSE, payload[:2])
            self._open_transport.close()
        else:
            self._pieces.append(payload)
            self.crc = zlib.crc32(payload, self.crc)
            if is_whole:
                self._take_whole(b"".join(self._pieces))
                self._pieces.clear()

    def _take_whole(self, frame: bytes) -> None:
        self.frames += 1
        self.bytes += len(frame)
        if self.arrivals is not None:
            self.arrivals.append(asyncio.get_running_loop().time())
        if frame.startswith(_TERMINAL) and not self.ended.done():
            self.ended.set_result(msgspec.json.decode(frame))

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        if len(payload) < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
        else:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
        self._open_transport.write(head + bytes(4) + payload)  # a mask of zeros leaves it as it is
