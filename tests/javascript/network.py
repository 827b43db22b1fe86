"""Network: what lies between a client and one gateway, and what can go wrong there.

Owns what happens to bytes on their way. Does not own when.

`hold` is a network that died without a word: bytes vanish from both ways' sight, new connections are accepted and hear
nothing. `slow` is one that takes few bytes a second. `cut` resets every connection; `refuse` each new one, too.
"""

import asyncio
import contextlib
import socket

from tests.stack.relay import Relay, Way

_CHUNK_BYTES = 4096
# So small that what is not read waits at the gateway, and not on the way.
_BUFFER_BYTES = 16 * 1024


class Network(Relay):
    """Passes everything, until told otherwise."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._gateway_port = port
        self._forget()

    def hold(self) -> None:
        """Deliver nothing, and say nothing of it."""
        self._become()
        self._holding = True

    def slow(self, bytes_a_second: int) -> None:
        """Deliver so few bytes to the client."""
        self._become()
        self._bytes_a_second = bytes_a_second

    def heal(self) -> None:
        """Pass everything again, what was held included."""
        self._become()

    def _forget(self) -> None:
        self._holding, self._bytes_a_second = False, 0

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._gateway_port))
        return await asyncio.open_connection(sock=sock, limit=_BUFFER_BYTES)

    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _pair: list[asyncio.StreamWriter]
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            while self._holding:
                await self._changed.wait()
            if way is Way.DOWN and self._bytes_a_second:
                # The rate is what is simulated; healing ends the wait.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(len(data) / self._bytes_a_second):
                        await self._changed.wait()
            writer.write(data)
            await writer.drain()
        while self._holding:
            await self._changed.wait()  # a dead network hides the end of a connection, too
        raise ConnectionResetError
