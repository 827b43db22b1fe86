"""Outlet: commands of a Redis connection, written at once.

Owns how commands become bytes (hiredis, in C: a quarter of what redis-py's own packing takes) and go to the transport
within the call, where redis-py has a coroutine and a wait a batch. Does not own the connection, nor the order of
commands. Guarantees the bytes that redis-py would send, in the order of the calls. Where the transport is behind, its
user is to wait as redis-py's writer does.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection

_MOST_UNSENT_BYTES: Final = 256 * 1024


class Outlet:
    """The writing side of one connection."""

    __slots__ = ("_connection", "_transport")

    def __init__(self, connection: AbstractConnection, transport: asyncio.WriteTransport) -> None:
        self._connection = connection
        self._transport = transport

    @property
    def is_behind(self) -> bool:
        """Tell whether to wait: the server takes less than is written, or the connection is over."""
        return self._transport.is_closing() or self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES

    def packed(self, args: tuple[Any, ...]) -> bytes:
        """Return a command as the wire has it. Raises redis' DataError for what is no argument."""
        try:
            packed: bytes = hiredis.pack_command(args)
        except TypeError:  # a subclass, such as an enumeration's member
            return b"".join(self._connection.pack_command(*args))
        return packed

    def write(self, commands: Sequence[bytes]) -> None:
        """Write commands in one go."""
        self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))


def packed(commands: Sequence[tuple[Any, ...]]) -> bytes | None:
    """Return commands as the wire has them; None where one of them takes redis-py's own packing."""
    try:
        return b"".join([hiredis.pack_command(command) for command in commands])
    except TypeError:
        return None


def outlet_of(connection: AbstractConnection) -> Outlet | None:
    """Make the outlet of a connection; None if it is no redis-py's over a stream."""
    writer: asyncio.StreamWriter | None = getattr(connection, "_writer", None)
    return None if writer is None else Outlet(connection, writer.transport)
