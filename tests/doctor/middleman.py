"""Middleman: something between the doctor and Redis that changes what Redis says.

Owns the changes. One must keep the length of a reply; short replies come in one piece.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.stack.relay import Relay, Way

Change = Callable[[bytes], bytes]

_CHUNK_BYTES = 65536
_TIME = re.compile(rb"\*2\r\n\$10\r\n(\d{10})\r\n(\$\d\r\n\d+\r\n)")
_MESSAGE = re.compile(rb"\*3\r\n\$[78]\r\ns?message\r\n")


class _Middleman(Relay):
    """Changes whatever the server says."""

    def __init__(self, target: Path, change: Change) -> None:
        super().__init__(target)
        self._change = change

    def heal(self) -> None:
        self._become()

    def _forget(self) -> None:
        """It has one mode."""

    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: list[asyncio.StreamWriter]
    ) -> None:
        del pair
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(self._change(data) if way is Way.DOWN else data)
            await writer.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def middleman(socket: Path, change: Change) -> AsyncIterator[str]:
    """Stand between for the length of a block; give the address for ANDON_REDIS_URL."""
    async with _Middleman(socket, change).open() as standing:
        yield f"redis://127.0.0.1:{standing.port}/0"


def as_old(data: bytes) -> bytes:
    """Pretend to be a Redis of before sharded pub/sub."""
    return data.replace(b"redis_version:7.", b"redis_version:6.")


def with_a_clock_ahead_by(seconds: int) -> Change:
    """Let its clock be wrong."""
    return lambda data: _TIME.sub(lambda told: b"*2\r\n$10\r\n%d\r\n%b" % (int(told[1]) + seconds, told[2]), data)


def without_messages(data: bytes) -> bytes:
    """Confirm subscriptions and pass no message."""
    return b"" if _MESSAGE.match(data) else data
