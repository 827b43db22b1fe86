"""Relay: a TCP port in front of another, or of a Unix socket, that passes bytes both ways.

Owns the listening, the pairs of connections, and their end. Does not own what happens to bytes on their way, nor when:
the networks that are made of it do.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import Flag, auto
from pathlib import Path
from typing import Self


class Way(Flag):
    """A direction, as who dials the relay sees it."""

    UP = auto()  # what it sends
    DOWN = auto()  # what it gets
    BOTH = UP | DOWN


class Relay(ABC):
    """Refuses and cuts when told; `_pass` says what becomes of bytes."""

    def __init__(self, target: Path | int) -> None:
        self._target = target
        # Where it listens, once it is open.
        self.port = 0
        # Connections that were accepted so far.
        self.accepted = 0
        self._refusing = False
        # Replaced at each change of mode, so that who waits looks again.
        self._changed = asyncio.Event()
        # Every writer of a live pair.
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

    def cut(self) -> None:
        """Reset every connection now; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset every connection, and each new one too."""
        self._become(refusing=True)
        self.cut()

    @abstractmethod
    def heal(self) -> None:
        """Pass everything again."""

    @abstractmethod
    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: list[asyncio.StreamWriter]
    ) -> None:
        """Pass one direction of one pair to its end, and raise OSError there: then the other ends, too."""

    @abstractmethod
    def _forget(self) -> None:
        """Leave every mode that this network has."""

    def _become(self, *, refusing: bool = False) -> None:
        """Leave every mode but this one; who waits looks again at the loop's next turn, when the new one is set."""
        self._forget()
        self._refusing = refusing
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        pair = [writer]
        self._writers.add(writer)  # before there is a pair: what is cut meanwhile is this, too
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
            for end in pair:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(str(self._target))
