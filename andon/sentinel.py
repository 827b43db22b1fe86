"""Sentinel: which server is the master now, as the sentinels say.

Owns a link to each sentinel, the choice among their answers, and the connections to the master that were opened by it.
Does not own what is said on those (`Link`, `Subscriber`).

Guarantees: a connection is opened to the server that the newest answer names, and only if that server says itself that
it is a master; so a demoted or stale one is refused. When another becomes master, every connection to the old one is
closed within `_LOOK_EVERY_S`, and whoever kept it up opens it anew at the new one. A sentinel closes the connections of
a server that it demotes; the look is for a master that no sentinel can reach but this process can: it answers pings,
takes writes, and will forget them. A look, and no `+switch-master`: a message that may be lost needs the look all the
same.
"""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from andon.address import Address, Node
from andon.connection import OpenConnection
from andon.errors import StoreUnavailable
from andon.lifetime import background
from andon.link import Link

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 0.5
# Of the time-out: a sentinel that is frozen must leave time for the connection itself.
_ASK_SHARE: Final = 0.25


class _Answer(msgspec.Struct, frozen=True):
    # Counts the failovers: the greatest is the newest.
    epoch: int
    node: Node


class Sentinels:
    """The sentinels of one master. `opener` makes the opener of a server from its URL."""

    def __init__(self, address: Address, *, timeout_s: float, opener: Callable[[str], OpenConnection]) -> None:
        self._address = address
        self._opener = opener
        self._ask_s = timeout_s * _ASK_SHARE
        self._links = [Link(opener(address.url_of_sentinel(node)), timeout_s=timeout_s) for node in address.nodes]
        # What was opened, and to which server; one that was closed leaves by itself.
        self._opened: weakref.WeakKeyDictionary[AbstractConnection, Node] = weakref.WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Sentinels"]:
        """Keep the links up, and watch who is master, for as long as the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            for link in self._links:
                await stack.enter_async_context(link.open())
            await stack.enter_async_context(background(self._watch()))
            yield self

    async def open_connection(self) -> AbstractConnection:
        """Open a connection to the present master. Raises OSError if there is none to be had."""
        node = await self.master()
        connection = await self._opener(self._address.url_of(node))()
        try:
            role = await _role(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if role != b"master":
            await connection.disconnect(nowait=True)
            raise OSError(f"{node[0]}:{node[1]} is called the master and says that it is a {role.decode()}")
        self._opened[connection] = node
        return connection

    async def master(self) -> Node:
        """Ask the sentinels for the master, and believe the newest answer. Raises OSError if none answers.

        Waits for all of them, for as long as may be: the first to know of a failover is the one that leads it, and one
        that was cut off with the old master never does.
        """
        found = await asyncio.gather(*map(self._ask, self._links))
        answers = [answer for answer in found if answer is not None]
        if not answers:
            raise OSError(f"no sentinel names a master {self._address.service!r}")
        return max(answers, key=lambda answer: answer.epoch).node

    async def _ask(self, link: Link) -> _Answer | None:
        try:
            flat = await link.call("SENTINEL", "MASTER", self._address.service, timeout_s=self._ask_s)
        except (StoreUnavailable, ResponseError) as error:
            _log.debug("sentinel.no_answer", error=str(error))
            return None
        fields: dict[bytes, Any] = dict(zip(flat[::2], flat[1::2], strict=True))
        return _Answer(int(fields[b"config-epoch"]), (fields[b"ip"].decode(), int(fields[b"port"])))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                master = await self.master()
            except OSError as error:
                _log.debug("sentinel.no_master", error=str(error))  # what stands may be the master all the same
                continue
            for connection, node in list(self._opened.items()):
                if node != master and connection.is_connected:
                    _log.warning("sentinel.master_moved", old=f"{node[0]}:{node[1]}", new=f"{master[0]}:{master[1]}")
                    await connection.disconnect(nowait=True)


async def _role(connection: AbstractConnection) -> bytes:
    await connection.send_packed_command(connection.pack_commands([("ROLE",)]))
    reply = await connection.read_response()
    role: bytes = reply[0]
    return role
