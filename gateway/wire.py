"""Wire: uvicorn's WebSocket protocol, with bounds on what a client that does not read can hold.

Owns the send buffers below the outbox, and the end of a client that answers no ping. uvicorn as it is lets about 4 MB
gather in the kernel before a send waits, and its keepalive time-out waits for a flush that never comes, so a client
that stopped reading was never freed (measured). Here a send waits at some 0.3 MB, and such a client is gone within the
ping deadline, its memory with it.
"""

import asyncio
import socket
from typing import Final, Literal, TypedDict, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from andon.closecodes import CloseCode

_KERNEL_BUFFER_BYTES: Final = 64 * 1024
_WRITE_HIGH_BYTES: Final = 64 * 1024
_WRITE_LOW_BYTES: Final = 16 * 1024
# The largest piece of a text that is sent at once.
PIECE_BYTES: Final = 64 * 1024


class Piece(TypedDict):
    """A message for `send`: a piece of one text, as bytes, so that it is neither decoded nor copied whole.

    A large text goes out in pieces (RFC 6455, section 5.4): pings get in between, and no buffer holds all of it.
    """

    type: Literal["websocket.send"]
    utf8: bytes
    is_first: bool
    is_last: bool


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """The class for uvicorn's `ws=`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the buffers of a new connection."""
        super().connection_made(transport)
        stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        sock: socket.socket | None = stream.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)

    async def send(self, message: ASGISendEvent) -> None:
        """Send as uvicorn does, but for a frame's pieces, and for two ends that it does not see through.

        After a close it pings no more and waits for a flush, so a client that reads nothing would stay for ever: it
        is cut when it has not answered in time. And a handshake that was refused with a response is complete: uvicorn
        logs an error otherwise.
        """
        if "utf8" in message:
            await self._send_piece(cast("Piece", message))
            return
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
        elif message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    async def _send_piece(self, piece: Piece) -> None:
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        try:
            if piece["is_first"]:
                self.conn.send_text(piece["utf8"], fin=piece["is_last"])
            else:
                self.conn.send_continuation(piece["utf8"], fin=piece["is_last"])
        except InvalidState as error:
            raise ClientDisconnected from error
        self.transport.write(b"".join(self.conn.data_to_send()))

    def send_receive_event_to_app(self) -> None:
        """Take a whole message; a text that is no UTF-8 ends its socket with 1007 (RFC 6455, section 8.1).

        uvicorn logs an error with a traceback for it, which any client could fill a log with, and fails itself if the
        client's close came right behind.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            data = b"".join(self.frames)
            try:
                data.decode()
            except UnicodeDecodeError:
                self.frames = []
                if self.conn.close_sent is None:
                    self.conn.send_close(CloseCode.INVALID_TEXT)
                self.handle_parser_exception()
                return
            self.frames = [data]
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        """Say why, then abort: a close would wait for what the client does not read."""
        super().keepalive_timeout()
        self.transport.abort()
