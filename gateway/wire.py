"""Wire: uvicorn's WebSocket protocol, with bounds on what a client that does not read can hold.

Owns the send buffers below the outbox, and the end of a client that answers no ping. uvicorn as it is lets about 4 MB
gather in the kernel before a send waits, and its keepalive time-out waits for a flush that never comes, so a client
that stopped reading was never freed (measured). Here a send waits at some 0.3 MB, and such a client is gone within the
ping deadline, its memory with it.

Owns the handover as well: an endpoint that has accepted may take the connection out of ASGI (`taken_over`), and is then
called by the transport itself (`gateway.open_socket`). What ASGI needs a socket, two dicts of the handshake, a queue, a
task and a core of the protocol, is gone from there on.
"""

import asyncio
import socket
from typing import Final, Literal, TypedDict, cast

from starlette.websockets import WebSocket
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from andon.closecodes import CloseCode
from gateway.keepalive import Keepalive
from gateway.lookout import Lookout
from gateway.open_socket import OpenSocket

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


_TAKE_OVER: Final = "andon.take_over"


class _HandedOver(asyncio.Transport):
    """What uvicorn's protocol has instead of a transport that it handed over: it closes it when its task is over."""

    def close(self) -> None:
        """Leave it open."""


_HANDED_OVER: Final = _HandedOver()


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """The class for uvicorn's `ws=`."""

    # What came before the handshake was answered; None before there is any.
    _early: bytearray | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the buffers of a new connection."""
        super().connection_made(transport)
        stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        sock: socket.socket | None = stream.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)

    def handle_connect(self, event: Request) -> None:
        """Offer the handover to the endpoint."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][_TAKE_OVER] = {"take_over": self._take_over}

    def data_received(self, data: bytes) -> None:
        """Read no frame before the handshake is answered: until then it is open who takes it."""
        if self.handshake_initiated and not self.handshake_complete:
            self._early = (self._early or bytearray()) + data
            self.transport.pause_reading()
        else:
            super().data_received(data)

    async def receive(self) -> ASGIReceiveEvent:
        """Receive as uvicorn does; first of all what came early."""
        early, is_open = self._early, self.handshake_complete
        if early is not None and is_open:
            self._early = None
            self.transport.resume_reading()
            super().data_received(bytes(early))
        return await super().receive()

    def _take_over(self, keepalive: Keepalive, lookout: Lookout) -> OpenSocket:
        """Give the accepted connection away. From here on this object, its task and its scope are over."""
        transport, early = self.transport, self._early
        taken = OpenSocket(
            transport,
            most_bytes=self.config.ws_max_size,
            is_paused=not self.writable.is_set(),
            keepalive=keepalive,
            lookout=lookout,
            on_lost=self.connections.discard,
        )
        transport.set_protocol(taken)
        self.connections.discard(self)
        self.connections.add(taken)  # type: ignore[arg-type]
        self.stop_keepalive()
        self.disconnected, self.transport = True, _HANDED_OVER
        # Neither is to wait for the collector: thousands may be accepted within a second.
        self.conn.parser.close()
        self.scope["extensions"].pop(_TAKE_OVER)
        if early is not None:
            # When the endpoint has begun, which it does before it waits for anything.
            self.loop.call_soon(taken.data_received, bytes(early))
            self.loop.call_soon(transport.resume_reading)
        return taken

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


def taken_over(websocket: WebSocket, keepalive: Keepalive, lookout: Lookout) -> OpenSocket:
    """Take an accepted WebSocket out of ASGI. Give it an endpoint before anything is awaited, then return."""
    open_socket: OpenSocket = websocket.scope["extensions"][_TAKE_OVER]["take_over"](keepalive, lookout)
    return open_socket
