"""Line: one connection to one Redis server, on which the doctor asks one thing after the other.

Not `andon.link`: that one opens a broken connection anew and repeats nothing, and says little of why; here the why is
all that matters. Guarantees: no answer is waited for longer than the patience; a line on which an answer was overdue is
closed and never used again.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from andon.connection import OpenConnection
from andon.link import Argument


class NoAnswer(OSError):  # noqa: N818 - the condition is the name
    """The server did not answer in time, or the connection is gone."""


class Line:
    """An open connection. For one task."""

    def __init__(self, connection: AbstractConnection, *, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s

    async def ask(self, *command: Argument) -> Any:
        """Run one command. Raises NoAnswer, or what the server answers: ResponseError."""
        await self.say(*command)
        return await self.hear()

    async def say(self, *command: Argument) -> None:
        """Send one command whose answers are heard later. Raises NoAnswer."""
        if not self._connection.is_connected:
            raise NoAnswer("the connection is gone")
        try:
            packed = self._connection.pack_commands([command])
            await self._connection.send_packed_command(packed, check_health=False)
        except (RedisError, OSError) as error:
            raise NoAnswer(f"the connection broke: {error}") from error

    async def hear(self, within_s: float | None = None) -> Any:
        """Read the next answer, or message. Raises NoAnswer, or ResponseError. Cancelling it spoils the line."""
        try:
            async with asyncio.timeout(self._patience_s if within_s is None else within_s):
                return await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
        except TimeoutError as error:
            await self._connection.disconnect(nowait=True)
            raise NoAnswer(f"no answer within {self._patience_s:g} s") from error
        except (OSError, asyncio.IncompleteReadError, RedisConnectionError) as error:
            raise NoAnswer(f"the connection broke: {error}") from error


@contextlib.asynccontextmanager
async def open_line(open_connection: OpenConnection, *, patience_s: float) -> AsyncIterator[Line]:
    """Keep a line open for the length of a block. Raises OSError or RedisError where it cannot be opened."""
    try:
        async with asyncio.timeout(patience_s):
            connection = await open_connection()
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {patience_s:g} s") from error
    try:
        yield Line(connection, patience_s=patience_s)
    finally:
        await connection.disconnect(nowait=True)
