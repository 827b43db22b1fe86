"""Sentinel: which server is the master now, as the sentinels say.

Owns a link to each sentinel, the choice among their answers, and the connections to the master that were opened by it.
Does not own what is said on those (`Link`, `Subscriber`).

Guarantees: a connection is opened to the server that the newest answer names, and only if that server says itself that
it is a master; so a demoted or stale one is refused. So is one that a failover is about to replace: a master that
crashed and was started again while its successor is being made is still called the master, says that it is one, takes
writes, and forgets them a second later. When another becomes master, or begins to, every connection to the old one is
closed within `_LOOK_EVERY_S`, and whoever kept it up opens it anew at the new one. A sentinel closes the connections of
a server that it demotes; the look is for a master that no sentinel can reach but this process can. A look, and no
`+switch-master`: a message that may be lost needs the look all the same.
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
# A sentinel that would like to lead a failover and has no majority for it yet: it may never get one.
_NOT_ELECTED: Final = b"wait_start"
# Valkey's: the old master hands over all that it has and demotes itself, so to stay with it until then loses nothing.
_COORDINATED: Final = b"coordinated_failover"


class _Answer(msgspec.Struct, frozen=True):
    # Counts the failovers: the greatest is the newest.
    epoch: int
    node: Node
    # A failover is under way, and its successor is not master yet.
    is_leaving: bool


class _LeavingError(OSError):
    """The master is being replaced, and by which server is not decided."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"{node[0]}:{node[1]} is being replaced by a failover")
        self.node = node


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
            if role != b"master":
                raise OSError(f"{node[0]}:{node[1]} is called the master and says that it is a {role.decode()}")
            # Once more: a frozen server answers when it is thawed, and may have been replaced meanwhile.
            if await self.master() != node:
                raise OSError(f"{node[0]}:{node[1]} was replaced before it answered")
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._opened[connection] = node
        return connection

    async def master(self) -> Node:
        """Ask the sentinels for the master, and believe the newest answer.

        Raises OSError if none answers, or while the master is being replaced.

        Waits for all of them, for as long as may be: the first to know of a failover is the one that leads it, and one
        that was cut off with the old master never does.
        """
        found = await asyncio.gather(*map(self._ask, self._links))
        answers = [answer for answer in found if answer is not None]
        if not answers:
            raise OSError(f"no sentinel names a master {self._address.service!r}")
        newest = max(answer.epoch for answer in answers)
        believed = [answer for answer in answers if answer.epoch == newest]
        node = believed[0].node
        # The sentinel that leads the failover alone says so.
        if any(answer.is_leaving for answer in believed):
            raise _LeavingError(node)
        return node

    async def _ask(self, link: Link) -> _Answer | None:
        service = self._address.service
        # Of the leader of a failover the first still describes the old master when the second names the new one:
        # until all other replicas follow that, which may take as long as `failover-timeout`.
        described = link.call("SENTINEL", "MASTER", service, timeout_s=self._ask_s)
        named = link.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service, timeout_s=self._ask_s)
        try:
            flat, (host, port) = await described, await named
        except (StoreUnavailable, ResponseError) as error:
            _log.debug("sentinel.no_answer", error=str(error))
            return None
        fields: dict[bytes, Any] = dict(zip(flat[::2], flat[1::2], strict=True))
        is_decided = (host, port) != (fields[b"ip"], fields[b"port"])
        is_leaving = (
            not is_decided
            and fields.get(b"failover-state", _NOT_ELECTED) != _NOT_ELECTED
            and _COORDINATED not in fields[b"flags"].split(b",")
        )
        return _Answer(int(fields[b"config-epoch"]), (host.decode(), int(port)), is_leaving)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                master = await self.master()
            except _LeavingError as leaving:
                # What it is told from now on is lost: whoever has something to say waits for its successor.
                await self._leave({leaving.node}, why=str(leaving))
            except OSError as error:
                _log.debug("sentinel.no_master", error=str(error))  # what stands may be the master all the same
            else:
                await self._leave(set(self._opened.values()) - {master}, why=f"the master is {master[0]}:{master[1]}")

    async def _leave(self, nodes: set[Node], *, why: str) -> None:
        for connection, node in list(self._opened.items()):
            if node in nodes and connection.is_connected:
                _log.warning("sentinel.master_moved", old=f"{node[0]}:{node[1]}", why=why)
                await connection.disconnect(nowait=True)


async def _role(connection: AbstractConnection) -> bytes:
    await connection.send_packed_command(connection.pack_commands([("ROLE",)]))
    reply = await connection.read_response()
    role: bytes = reply[0]
    return role
