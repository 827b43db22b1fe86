"""Wire: uvicorn's WebSocket protocol, with bounds on what a client that does not read can hold.

Owns the send buffers below the outbox, and the end of a client that answers no ping. uvicorn as it is lets about 4 MB
gather in the kernel before a send waits, and its keepalive time-out waits for a flush that never comes, so a client
that stopped reading was never freed (measured). Here a send waits at some 0.3 MB, and such a client is gone within the
ping deadline, its memory with it.
"""

import asyncio
import socket
from typing import Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_KERNEL_BUFFER_BYTES: Final = 64 * 1024
_WRITE_HIGH_BYTES: Final = 64 * 1024
_WRITE_LOW_BYTES: Final = 16 * 1024


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
        """Send, and take a handshake that was refused with a response for complete: uvicorn logs an error otherwise."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """Say why, then abort: a close would wait for what the client does not read."""
        super().keepalive_timeout()
        self.transport.abort()
