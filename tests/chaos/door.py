"""Door: sockets to gateways that may be gone, frozen or restarting.

Owns the opening of a socket with a deadline and its abrupt end, and which errors mean "try the other replica".
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

Event = dict[str, Any]

OPEN_S: Final = 2.0
# What a replica that is gone, frozen or going looks like from outside.
GONE: Final = (OSError, EOFError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)


@asynccontextmanager
async def open_door(url: str, **query: str | int) -> AsyncIterator[ClientConnection]:
    """Open a socket; leave it without a close handshake, as a client that loses its network does.

    Raises one of GONE.
    """
    target = f"{url}?{urlencode(query)}" if query else url
    async with asyncio.timeout(OPEN_S):
        socket = await connect(
            target, compression=None, proxy=None, max_size=None, max_queue=None, open_timeout=None, ping_interval=None
        )
    try:
        yield socket
    finally:
        socket.transport.abort()
        await socket.wait_closed()


async def say(socket: ClientConnection, type_: str, **members: Any) -> None:
    """Send one frame."""
    await socket.send(msgspec.json.encode({"type": type_, **members}).decode())


async def hear(socket: ClientConnection, timeout_s: float) -> tuple[str, Event]:
    """Receive one frame, as it came and parsed. Raises one of GONE; TimeoutError for silence."""
    async with asyncio.timeout(timeout_s):
        frame = await socket.recv()
    assert isinstance(frame, str)
    return frame, msgspec.json.decode(frame)
