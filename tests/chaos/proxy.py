"""Proxy: a bad network between a process and Redis, or a browser and a gateway.

Owns a TCP port in front of a Unix socket or another port, and what happens to bytes on their way. Does not own when.

`hold` is a partition as TCP knows it: bytes wait, and arrive late, after the network has healed. `swallow` is a middle
box that forgets a connection: bytes vanish, and the connection is reset when the network heals. Both know directions.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Flag, auto
from pathlib import Path
from typing import Self

_CHUNK_BYTES = 65536


class Way(Flag):
    """A direction, as the process behind the proxy sees it."""

    UP = auto()  # its commands
    DOWN = auto()  # the server's replies and messages
    BOTH = UP | DOWN


_NONE = Way(0)


class Proxy:
    """Passes everything, until told otherwise."""

    def __init__(self, target: Path | int) -> None:
        self._target = target
        # Where it listens, once it is open.
        self.port = 0
        self._held = _NONE
        self._swallowed = _NONE
        self._delay_s = 0.0
        self._refusing = False
        # Replaced at each change of mode, so that who waits looks again.
        self._changed = asyncio.Event()
        # Every writer of a live pair, and those through which something vanished.
        self._writers: set[asyncio.StreamWriter] = set()
        self._tainted: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The address for ANDON_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

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

    def delay(self, seconds: float) -> None:
        """Let every chunk take so much longer, each way."""
        self._set(delay_s=seconds)

    def hold(self, way: Way) -> None:
        """Deliver nothing that way until the network heals, then everything."""
        self._set(held=way)

    def swallow(self, way: Way) -> None:
        """Deliver nothing that way, ever."""
        self._set(swallowed=way)

    def heal(self) -> None:
        """Pass everything again; connections that lost bytes are reset."""
        self._set()
        for writer in list(self._tainted):
            writer.transport.abort()

    def _set(self, *, held: Way = _NONE, swallowed: Way = _NONE, delay_s: float = 0.0, refusing: bool = False) -> None:
        self._held, self._swallowed, self._delay_s, self._refusing = held, swallowed, delay_s, refusing
        self._changed.set()
        self._changed = asyncio.Event()

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        pair = [writer]
        try:
            up_reader, up_writer = await self._connect()
            pair.append(up_writer)
            self._writers.update(pair)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(Way.UP, reader, up_writer, pair))
                group.create_task(self._pass(Way.DOWN, up_reader, writer, pair))
        except* OSError:
            pass  # one side is gone; the other follows
        finally:
            self._writers.difference_update(pair)
            self._tainted.difference_update(pair)
            for end in pair:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(str(self._target))

    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: list[asyncio.StreamWriter]
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            while self._held & way:
                await self._changed.wait()
            if self._swallowed & way:
                self._tainted.update(pair)
                continue
            writer.write(data)
            await writer.drain()
        while (self._held | self._swallowed) & way:
            await self._changed.wait()  # a partition hides the end of a connection, too
        raise ConnectionResetError
