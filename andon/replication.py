"""Replication: a script whose effect is answered for only after a replica has it.

Owns a connection of its own, because WAIT blocks the connection on which the write was made, and the count of
replicas. Where there are none, nothing waits. Guarantees: `replicated` is a time only if a replica acknowledged all
writes of this connection, the script's included; False if none did so in time, or all that there were are gone; None
if there never was one.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol

import structlog
from redis.exceptions import NoScriptError, ResponseError

from andon.connection import OpenConnection
from andon.errors import StoreUnavailable
from andon.lifetime import background
from andon.link import Argument, Link
from andon.script import Script

_log = structlog.get_logger(__name__)

_COUNT_EVERY_S: Final = 2.0
_CONNECTED: Final = re.compile(rb"connected_slaves:(\d+)")


class Waiting(Protocol):
    """What runs a script and waits for a replica, however many servers are behind it."""

    def open(self) -> AbstractAsyncContextManager[Any]:
        """Keep up what is behind it for as long as the context lasts."""
        ...

    async def count(self) -> int:
        """Count the replicas now. Raises StoreUnavailable."""
        ...

    def serves(self, key: str) -> bool:
        """Tell whether the server of this key has a replica to wait for, or had one."""
        ...

    async def eval(
        self, script: Script, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[Any, float | Literal[False] | None]:
        """Run a script and wait for a replica; return its reply, and when a replica had it."""
        ...


class Replication:
    """Scripts that wait for a replica."""

    def __init__(self, open_connection: OpenConnection, *, timeout_s: float, wait_s: float) -> None:
        self._link = Link(open_connection, timeout_s=timeout_s + wait_s)
        self._wait_ms = max(1, int(wait_s * 1000))
        # As last counted; a replica that was lost since makes one WAIT time out, and says so.
        self.replicas = 0
        # Once counted, for good: a master that came back alone may be about to be replaced by its replica.
        self.had_replicas = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Replication"]:
        """Keep the connection up, and count replicas, for as long as the context lasts."""
        async with self._link.open(), background(self._count()):
            yield self

    async def _count(self) -> None:
        while True:
            try:
                await self.count()
            except (StoreUnavailable, ResponseError) as error:
                _log.info("replication.uncounted", error=str(error))
            await asyncio.sleep(_COUNT_EVERY_S)

    async def count(self) -> int:
        """Count the replicas now. Raises StoreUnavailable."""
        found = _CONNECTED.search(await self._link.call("INFO", "replication"))
        self.replicas = int(found[1]) if found else 0
        self.had_replicas |= self.replicas > 0
        return self.replicas

    def serves(self, key: str) -> bool:
        """Tell whether the server has a replica to wait for, or had one."""
        del key
        return self.had_replicas

    def call_many(self, commands: Sequence[tuple[Argument, ...]]) -> "list[asyncio.Future[Any]]":
        """Send commands on the connection on which the scripts go; wait for no replica."""
        return self._link.call_many(commands)

    async def eval(
        self, script: Script, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[Any, float | Literal[False] | None]:
        """Run a script and wait for a replica; return its reply, and when a replica had it. Raises StoreUnavailable."""
        try:
            return await self._eval("EVALSHA", script.sha, keys, args)
        except NoScriptError:
            return await self._eval("EVAL", script.text, keys, args)

    async def _eval(
        self, command: str, body: str, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[Any, float | Literal[False] | None]:
        if not self.replicas:
            return await self._link.call(command, body, len(keys), *keys, *args), False
        # Neighbours on the wire: no other command of this connection comes between the write and its WAIT.
        run, waited = self._link.call_many([(command, body, len(keys), *keys, *args), ("WAIT", 1, self._wait_ms)])
        reply = await run
        try:
            acknowledged = int(await waited)
        except StoreUnavailable:
            acknowledged = 0
        return reply, time.time() if acknowledged else False
