"""Database: the shared Redis, as one role of one process uses it.

Owns the translation of `ANDON_REDIS_URL` into connections that are safe here, the start-up check of the server, and
how a script runs. Redis 7 and newer, and Valkey.

Guarantees: commands of one `Database` run in the order in which they were called. A script is sent by digest and
once more in full when the server has forgotten it; that is the only repeat, and the first one provably did not run.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from andon.errors import StartError
from andon.link import Argument, Link
from andon.script import Script, all_scripts

_MIN_VERSION: Final = (7, 0)


def connection_maker(url: str, *, timeout_s: float) -> Callable[[], AbstractConnection]:
    """Return a maker of single connections to the server of this URL.

    `socket_timeout` is None because redis-py sends through `asyncio.wait_for` otherwise, which on CPython 3.11
    swallows a cancel; deadlines are kept by `Link`. Retries are off because redis-py repeats commands that may have
    run. RESP2 because nothing here needs RESP3's types, and its pub/sub replies are plain arrays.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            socket_timeout=None,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
    except ValueError:
        # Not its own words: where a password has a character that it should not, they hold a part of it.
        raise StartError(
            "bad setting ANDON_REDIS_URL: redis-py cannot read it; it looks like redis://:password@host:6379/0, "
            "special characters of the password written as %xx"
        ) from None
    return pool.make_connection


def without_password(url: str) -> str:
    """Return the URL as it may be printed: without user and password, and without its query, which may hold both."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{host}" if at and user else host, query="", fragment="").geturl()


class Database:
    """The shared Redis behind one multiplexed link."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.url = url
        self.make_connection = connection_maker(url, timeout_s=timeout_s)
        self._link = Link(self.make_connection, timeout_s=timeout_s, greet=_load_scripts)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Database"]:
        """Keep the link up for as long as the context lasts."""
        async with self._link.open():
            yield self

    @property
    def connected(self) -> bool:
        """Tell whether the link stands at this moment."""
        return self._link.connected.is_set()

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait for the first connection and check the server's version. Raises StartError with the one line to say."""
        shown = without_password(self.url)
        try:
            async with asyncio.timeout(timeout_s):
                await self._link.connected.wait()
        except TimeoutError as error:
            raise StartError(f"Redis is not reachable at {shown} (ANDON_REDIS_URL)") from error
        info = await self.call("INFO", "server")
        version = _version(info)
        if version < _MIN_VERSION:
            found = ".".join(map(str, version))
            raise StartError(f"Redis at {shown} is {found}; 7.0 or newer is needed (sharded pub/sub, script flags)")

    def call(self, *args: Argument, timeout_s: float | None = None) -> Awaitable[Any]:
        """Run one command. Called at once, in order; await the result when it is wanted."""
        return self._link.call(*args, timeout_s=timeout_s)

    def eval(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Awaitable[Any]:
        """Run a script. It is sent at once, in order; await the result when it is wanted."""
        tail = (len(keys), *keys, *args)
        return self._link.call("EVALSHA", script.sha, *tail, if_unknown=("EVAL", script.text, *tail))


async def _load_scripts(connection: AbstractConnection) -> None:
    scripts = all_scripts()
    await connection.send_packed_command(connection.pack_commands([("SCRIPT", "LOAD", s.text) for s in scripts]))
    for script in scripts:
        sha = await connection.read_response()
        if sha.decode() != script.sha:
            raise RedisError(f"the server digests the script {script.name} differently")


def _version(info: bytes) -> tuple[int, ...]:
    for line in info.decode().splitlines():
        if line.startswith("redis_version:"):
            return tuple(int(part) for part in line.removeprefix("redis_version:").split(".")[:2])
    return (0,)
