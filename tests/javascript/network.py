"""Network: what lies between a client and one gateway, and what can go wrong there.

Owns a TCP port in front of the gateway's, and what happens to bytes on their way. Does not own when.

`hold` is a network that died without a word: bytes vanish from both ways' sight, new connections are accepted and hear
nothing. `slow` is one that takes few bytes a second. `cut` resets every connection; `refuse` each new one, too.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Self

_CHUNK_BYTES = 4096
# So small that what is not read waits at the gateway, and not on the way.
_BUFFER_BYTES = 16 * 1024


class Network:
    """Passes everything, until told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        # Connections that were accepted so far.
        self.accepted = 0
        self._holding = False
        self._refusing = False
        self._bytes_a_second = 0
        # Replaced at each change, so that who waits looks again.
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Listen for as long as the block lasts."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.heal()
            self.cut()
            await server.wait_closed()

    # ── modes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self) -> None:
        """Reset every connection now; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset every connection, and each new one too."""
        self._set(refusing=True)
        self.cut()

    def hold(self) -> None:
        """Deliver nothing, and say nothing of it."""
        self._set(holding=True)

    def slow(self, bytes_a_second: int) -> None:
        """Deliver so few bytes to the client."""
        self._set(bytes_a_second=bytes_a_second)

    def heal(self) -> None:
        """Pass everything again, what was held included."""
        self._set()

    def _set(self, *, holding: bool = False, refusing: bool = False, bytes_a_second: int = 0) -> None:
        self._holding, self._refusing, self._bytes_a_second = holding, refusing, bytes_a_second
        self._changed.set()
        self._changed = asyncio.Event()

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pair = [writer]
        if self._refusing:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await self._connect()
            pair.append(up_writer)
            self._writers.update(pair)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, up_writer, is_down=False))
                group.create_task(self._pass(up_reader, writer, is_down=True))
        except* OSError:
            pass  # one side is gone; the other follows
        finally:
            self._writers.difference_update(pair)
            for end in pair:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._target))
        return await asyncio.open_connection(sock=sock, limit=_BUFFER_BYTES)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_down: bool) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            while self._holding:
                await self._changed.wait()
            if is_down and self._bytes_a_second:
                # The rate is what is simulated; healing ends the wait.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(len(data) / self._bytes_a_second):
                        await self._changed.wait()
            writer.write(data)
            await writer.drain()
        while self._holding:
            await self._changed.wait()  # a dead network hides the end of a connection, too
        raise ConnectionResetError
