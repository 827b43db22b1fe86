"""Database: the shared Redis, as one role of one process uses it.

Owns the translation of `ANDON_REDIS_URL` into connections that are safe here, the start-up check of the server, and
how a script runs. Redis 7 and newer, and Valkey; one server, the master that Sentinel names, or a cluster.

Guarantees: commands of one `Database` to one server run in the order in which they were called; a script that must
come after commands of other slots is called after `first`. A script is sent by digest and once more in full when the
server has forgotten it, and a command that a cluster's node refused unrun is sent to the right one: these are the only
repeats, and what they repeat provably did not run.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from andon.address import Topology, parse_address, without_password
from andon.cluster import Cluster
from andon.cluster_replication import ClusterReplication
from andon.connection import OpenConnection, connected
from andon.errors import StartError
from andon.link import Argument, Call, Link
from andon.replication import Replication, Waiting
from andon.script import Script, all_scripts
from andon.sentinel import Sentinels
from andon.sharded_subscriber import ShardedSubscriber
from andon.subscriber import Subscriber, Subscriptions
from andon.transaction import Transaction

_MIN_VERSION: Final = (7, 0)


def connection_maker(url: str, *, timeout_s: float) -> OpenConnection:
    """Return an opener of single connections to the server of this URL.

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
        make: Callable[[], AbstractConnection] = pool.make_connection
        make()  # an option that redis-py does not know is told now
    except ValueError:
        # Not its own words: where a password has a character that it should not, they hold a part of it.
        raise StartError(
            "bad setting ANDON_REDIS_URL: redis-py cannot read it; it looks like redis://:password@host:6379/0, "
            "special characters of the password written as %xx"
        ) from None
    except (TypeError, RedisError) as error:
        raise StartError(f"bad setting ANDON_REDIS_URL: {error}") from error
    return lambda: connected(make())


class Database:
    """The shared Redis behind one multiplexed link."""

    # Whether keys of different slots may live on different servers.
    is_spread = False

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.url = url
        # Until a reply is overdue.
        self.timeout_s = timeout_s
        try:
            address = parse_address(url)
        except ValueError as error:
            raise StartError(f"bad setting ANDON_REDIS_URL: {error}") from error

        def opener(node_url: str) -> OpenConnection:
            return connection_maker(node_url, timeout_s=timeout_s)

        # What finds the server, where that is a question; the cluster, where there is one.
        self._sentinels: Sentinels | None = None
        self._cluster: Cluster | None = None
        self._link: Link | Cluster
        self.open_connection: OpenConnection
        match address.topology:
            case Topology.CLUSTER:
                self._link = self._cluster = Cluster(address, timeout_s=timeout_s, opener=opener, greet=_load_scripts)
                self.open_connection = self._cluster.open_connection
                self.is_spread = True
                return
            case Topology.SENTINEL:
                self._sentinels = Sentinels(address, timeout_s=timeout_s, opener=opener)
                self.open_connection = self._sentinels.open_connection
            case Topology.STANDALONE:
                self.open_connection = opener(url)
        self._link = Link(self.open_connection, timeout_s=timeout_s, greet=_load_scripts)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Database"]:
        """Keep the link up for as long as the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            if self._sentinels is not None:
                await stack.enter_async_context(self._sentinels.open())
            await stack.enter_async_context(self._link.open())
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
            why = f": {self._cluster.trouble}" if self._cluster is not None and self._cluster.trouble else ""
            raise StartError(f"Redis is not reachable at {shown} (ANDON_REDIS_URL){why}") from error
        info = await self.call("INFO", "server")
        version = _version(info)
        if version < _MIN_VERSION:
            found = ".".join(map(str, version))
            raise StartError(f"Redis at {shown} is {found}; 7.0 or newer is needed (sharded pub/sub, script flags)")

    def call(self, *args: Argument, timeout_s: float | None = None) -> "asyncio.Future[Any]":
        """Run one command. Called at once, in order; await the result when it is wanted."""
        return self._link.call(*args, timeout_s=timeout_s)

    def eval(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> "asyncio.Future[Any]":
        """Run a script. It is sent at once, in order; await the result when it is wanted."""
        return self._link.call("EVALSHA", script.sha, len(keys), *keys, *args, if_unknown=script.text)

    def queue(self, call: Call) -> None:
        """Send a call that was made elsewhere. It is sent at once, in order; it may fail within this call."""
        self._link.queue(call)

    def together(self, commands: Sequence[tuple[Argument, ...]]) -> "asyncio.Future[list[Any] | None]":
        """Run commands as one transaction; the future brings their replies, None where one of them was refused.

        Whoever waits for what one of them writes is served after all have run, and before those who are told of it:
        Redis writes to whom it had an answer for last first. On one server only (not where it `is_spread`).
        """
        return Transaction(self.queue, self.timeout_s, commands).replies

    def hold(self) -> None:
        """Let what is called from now on wait for `go`, which is to follow within the turn."""
        if isinstance(self._link, Link):
            self._link.hold()

    def go(self) -> None:
        """Send what was called now, not at the end of this turn of the loop: somebody waits for just that."""
        if isinstance(self._link, Link):
            self._link.go()

    async def everywhere(self, *args: Argument) -> list[Any]:
        """Run one command without a key on every master."""
        if self._cluster is None:
            return [await self.call(*args)]
        return await asyncio.gather(*self._cluster.call_each(*args))

    async def first(self, hints: Iterable[Awaitable[Any]]) -> None:
        """Make sure that commands which were called run before what is called next, in whatever slots they are.

        One server runs them in the order of the wire: then nothing waits, and all of it goes out in one write. Between
        servers there is no such order: then they are awaited. Raises what they raise.
        """
        if self.is_spread:
            for hint in hints:
                await hint

    def subscriber(
        self,
        *,
        sharded: bool,
        timeout_s: float,
        ping_every_s: float,
        on_message: Callable[[str, bytes], None],
        on_confirmed: Callable[[str], None],
    ) -> Subscriptions:
        """Make a subscriber of this Redis; it is open for no longer than this.

        In a cluster a sharded channel is heard at the node of its slot, any other at any node: what is published on it
        reaches all.
        """
        if self._cluster is not None and sharded:
            return ShardedSubscriber(
                self._cluster,
                timeout_s=timeout_s,
                ping_every_s=ping_every_s,
                on_message=on_message,
                on_confirmed=on_confirmed,
            )
        return Subscriber(
            self.open_connection,
            sharded=sharded,
            timeout_s=timeout_s,
            ping_every_s=ping_every_s,
            on_message=on_message,
            on_confirmed=on_confirmed,
        )

    def replication(self, *, timeout_s: float, wait_s: float) -> Waiting:
        """Make what runs a script and waits for a replica; it is open for no longer than this."""
        if self._cluster is not None:
            return ClusterReplication(self._cluster, timeout_s=timeout_s, wait_s=wait_s, plain=self.eval)
        return Replication(self.open_connection, timeout_s=timeout_s, wait_s=wait_s)


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
