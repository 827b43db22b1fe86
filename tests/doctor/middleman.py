"""Middleman: something between the doctor and Redis that changes what Redis says.

Owns a port in front of a Unix socket. A change must keep the length of a reply; short replies come in one piece.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

Change = Callable[[bytes], bytes]

_TIME = re.compile(rb"\*2\r\n\$10\r\n(\d{10})\r\n(\$\d\r\n\d+\r\n)")
_MESSAGE = re.compile(rb"\*3\r\n\$[78]\r\ns?message\r\n")


@contextlib.asynccontextmanager
async def middleman(socket: Path, change: Change) -> AsyncIterator[str]:
    """Stand between for the length of a block; give the address for ANDON_REDIS_URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        up_reader, up_writer = await asyncio.open_unix_connection(str(socket))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass(reader, up_writer, lambda data: data))
                group.create_task(_pass(up_reader, writer, change))
        except* (OSError, asyncio.CancelledError):
            pass  # one side is gone, or the block is over
        finally:
            tasks.discard(task)
            for end in (writer, up_writer):
                end.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Change) -> None:
    while data := await reader.read(65536):
        writer.write(change(data))
        await writer.drain()
    raise ConnectionResetError


def as_old(data: bytes) -> bytes:
    """Pretend to be a Redis of before sharded pub/sub."""
    return data.replace(b"redis_version:7.", b"redis_version:6.")


def with_a_clock_ahead_by(seconds: int) -> Change:
    """Let its clock be wrong."""
    return lambda data: _TIME.sub(lambda told: b"*2\r\n$10\r\n%d\r\n%b" % (int(told[1]) + seconds, told[2]), data)


def without_messages(data: bytes) -> bytes:
    """Confirm subscriptions and pass no message."""
    return b"" if _MESSAGE.match(data) else data
