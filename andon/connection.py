"""Connection: one connection to Redis that is opened again whenever it breaks.

Owns the life of the connection: open, serve, give up, back off, again. Does not own what is said on it: `Link` and
`Subscriber` do. Guarantees that a broken connection is never reused, and that reader and writer end together.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Self, TypeAlias

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from andon.lifetime import background

_log = structlog.get_logger(__name__)

# Opens a connection to a server, whichever is the right one now, and returns it connected.
OpenConnection: TypeAlias = Callable[[], Awaitable[AbstractConnection]]

_BACKOFF_FIRST_S: Final = 0.02
_BACKOFF_MOST_S: Final = 0.5


class StandingConnection(ABC):
    """A connection kept up by `async with x.open()`."""

    def __init__(self, open_connection: OpenConnection, *, timeout_s: float) -> None:
        self._open_connection = open_connection
        self._timeout_s = timeout_s
        self._connection: AbstractConnection | None = None
        # Set while a connection stands: what /readyz and start-up wait for.
        self.connected = asyncio.Event()
        # Nothing is expected of the present connection any more; that it is lost is a few turns of the loop away.
        self._is_given_up = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Keep the connection up for as long as the context lasts. Does not wait for the first one."""
        try:
            async with background(self._keep_connected(), self._watch()):
                yield self
        finally:
            self._closed()

    async def _keep_connected(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                connection = await self._connect()
                backoff_s = _BACKOFF_FIRST_S
                await self._serve(connection)
            except (RedisError, OSError, asyncio.IncompleteReadError) as error:
                # An outage is told once; its further failures are for those who debug.
                tell = _log.warning if self.connected.is_set() else _log.debug
                tell("connection.lost", role=type(self).__name__, error=str(error))
            finally:
                await self._disconnect()
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _BACKOFF_MOST_S)

    async def _connect(self) -> AbstractConnection:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = self._connection = await self._open_connection()
                await self._greet(connection)
        except TimeoutError as error:
            raise OSError("Redis did not answer the connection in time") from error
        except RuntimeError as error:
            raise _closed_under_us(error) from error
        self.connected.set()
        return connection

    async def _disconnect(self) -> None:
        self.connected.clear()
        self._is_given_up = False
        connection, self._connection = self._connection, None
        self._lost()
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _serve(self, connection: AbstractConnection) -> None:
        """Write and read until one of them fails; the failure of either ends both."""
        tasks: list[asyncio.Task[None]] = [
            asyncio.ensure_future(self._read(connection)),
            asyncio.ensure_future(self._write(connection)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _give_up(self, why: str) -> None:
        """Close the transport, which makes the reader fail, which gives up the connection and opens another."""
        if self._connection is not None:
            self._is_given_up = True
            _log.warning("connection.given_up", role=type(self).__name__, why=why)
            await self._connection.disconnect(nowait=True)

    @staticmethod
    async def _send(connection: AbstractConnection, commands: list[tuple[str | bytes | int | float, ...]]) -> None:
        """Write commands in one go; OSError is the only failure, whatever redis-py or the loop call it.

        redis-py would open a lost connection anew here, unseen, and mix up replies.
        """
        if not connection.is_connected:
            raise OSError("the connection was given up")
        packed: Awaitable[None] = connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        try:
            await packed
        except (RedisError, RuntimeError, TypeError) as error:
            # The last is what asyncio's own loop raises from Python 3.12 on, on a transport that has just closed.
            raise _closed_under_us(error) from error

    @abstractmethod
    async def _greet(self, connection: AbstractConnection) -> None:
        """Say what must be said first on a new connection."""

    @abstractmethod
    async def _read(self, connection: AbstractConnection) -> None:
        """Read until the connection fails."""

    @abstractmethod
    async def _write(self, connection: AbstractConnection) -> None:
        """Write until the connection fails."""

    @abstractmethod
    async def _watch(self) -> None:
        """Keep deadlines, for ever: give up a connection that is overdue."""

    @abstractmethod
    def _lost(self) -> None:
        """Tell those who wait that this connection is gone."""

    @abstractmethod
    def _closed(self) -> None:
        """Tell those who wait that there will be no other."""


async def connected(connection: AbstractConnection) -> AbstractConnection:
    """Connect and return it. Cancelling is safe: then it is closed, as after any failure."""
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def _closed_under_us(error: Exception) -> OSError:
    """Translate what a write to a transport that has just closed raises: a RuntimeError of uvloop, redis-py's own."""
    return OSError(f"the connection was closed: {error}")
