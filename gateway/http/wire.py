"""Wire: uvicorn's HTTP protocol, with bounds on what a client that does not read can hold.

The same bounds as for sockets (`gateway.wire`): a send waits at some 0.3 MB instead of 4 MB. A client that takes
nothing for as long as a WebSocket's pong may take is cut; its request then sees it leave.
"""

import asyncio
import socket
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_KERNEL_BUFFER_BYTES: Final = 64 * 1024
_WRITE_HIGH_BYTES: Final = 64 * 1024
_WRITE_LOW_BYTES: Final = 16 * 1024


class BoundedHttpProtocol(HttpToolsProtocol):
    """The class for uvicorn's `http=`."""

    # Runs while the transport has more than the high mark; cuts the connection at its end.
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the buffers of a new connection."""
        stream = cast("asyncio.Transport", transport)
        super().connection_made(stream)
        stream.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        sock: socket.socket | None = stream.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._go_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Let sends wait, but not for ever."""
        super().pause_writing()
        timeout_s = self.config.ws_ping_timeout
        if self._stalled is None and timeout_s is not None:
            self._stalled = self.loop.call_later(timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Let sends go on: the client reads."""
        self._go_on()
        super().resume_writing()

    def _go_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
