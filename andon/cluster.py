"""Cluster: one multiplexed link a node, and every command sent over that of its slot's owner.

Owns the slot map, the links, what becomes of a command that a node refuses, and the connections to single nodes that
subscribers opened by it. Looks like a `Link` to `Database`.

Guarantees:
- Commands to one node go out in the order of their calls, many in one write; between nodes there is no order.
- A command that a node refused unrun is sent again, within its deadline: to the new owner of a slot that moved
  (`MOVED`), to where its keys already are (`ASK`), a moment later while its slot is in between (`TRYAGAIN`) or has no
  master (`CLUSTERDOWN`). What may have run is never sent twice: its caller is told `StoreUnavailable`.
- A command that was not sent yet leaves a node that is gone for its successor.
- The map is read anew when a node refuses or is lost, and every few seconds; of several answers the one of the newest
  epoch counts, so that a node which was cut off from the others is outvoted. A connection to a node that owns nothing
  any more is closed, and whoever kept it up opens another.
"""

import asyncio
import contextlib
import random
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from andon.address import Address, Node
from andon.connection import OpenConnection
from andon.errors import StoreUnavailable
from andon.lifetime import task_group
from andon.link import Argument, Call, Link, fail, words
from andon.node_link import NodeLink
from andon.slots import Redirect, SlotMap, parse_epoch, parse_redirect, parse_slots, slot_of_command

_log = structlog.get_logger(__name__)

# A slot in between, or without a master, is tried again so soon.
_AGAIN_S: Final = 0.02
_MOST_PARKED: Final = 20_000
# The map: read so often, and while anything is amiss.
_READ_EVERY_S: Final = 5.0
_READ_AGAIN_S: Final = 0.2
# So long a node that was asked may keep the others' answers waiting.
_PATIENCE_S: Final = 0.3
_ASKED_AT_ONCE: Final = 3
# Until an older epoch than ours is believed: the cluster was made anew.
_OLDER_AFTER_S: Final = 10.0
_LATER: Final = ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED")


class Cluster:
    """The nodes of a cluster, behind one `call`."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        opener: Callable[[str], OpenConnection],
        greet: Callable[[AbstractConnection], Awaitable[None]],
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._opener = opener
        self._greet = greet
        self._map = SlotMap()
        # Of the map: greatest seen, and the loop time at which a map was last believed.
        self._epoch = -1
        self._read_at = 0.0
        self._links: dict[Node, NodeLink] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}
        # None before `open` and after.
        self._group: asyncio.TaskGroup | None = None
        # Refused unrun, or without an owner: sent again in a moment. Beyond _MOST_PARKED calls fail at once.
        self._parked: deque[Call] = deque()
        self._has_parked = asyncio.Event()
        # Set when the map is doubted.
        self._doubted = asyncio.Event()
        # Connections that others keep up, and to which node; one that was closed leaves by itself.
        self._opened: weakref.WeakKeyDictionary[AbstractConnection, Node] = weakref.WeakKeyDictionary()
        # Called when slots have changed hands; these must not wait.
        self.on_change: list[Callable[[], None]] = []
        # Set while some node has answered what the map is.
        self.connected = asyncio.Event()
        # Why there is no map, for the start's one line.
        self.trouble = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Cluster"]:
        """Keep the links up for as long as the context lasts. Does not wait for the map."""
        async with task_group() as group:
            self._group = group
            keepers = [group.create_task(self._keep_map()), group.create_task(self._keep_parked())]
            try:
                yield self
            finally:
                self._group = None
                for task in (*keepers, *self._tasks.values()):
                    task.cancel()
        while self._parked:
            fail(self._parked.popleft(), "the link was closed")

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────

    def call(
        self, *args: Argument, timeout_s: float | None = None, if_unknown: str | None = None
    ) -> "asyncio.Future[Any]":
        """Send a command to the node of its slot. As `Link.call` in all else."""
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        self.queue(Call(args, reply, loop.time() + (timeout_s or self._timeout_s), if_unknown))
        return reply

    def queue(self, call: Call) -> None:
        """Send a call that was made elsewhere. May fail it within this call."""
        call.is_bound = False
        self._dispatch(call)

    def call_each(self, *args: Argument) -> "list[asyncio.Future[Any]]":
        """Send a command without a key to every master."""
        return [self._link(node).call(*args) for node in sorted(self._map.nodes())]

    def owner(self, slot: int) -> Node | None:
        """Return the master of a slot, as far as is known."""
        return self._map.owner(slot)

    @property
    def nodes(self) -> frozenset[Node]:
        """The masters that own slots, as far as is known."""
        return self._map.nodes()

    def _dispatch(self, call: Call) -> None:
        slot = slot_of_command(call.args)
        node = self._any_node() if slot is None else self._map.owner(slot)
        if self._group is None:
            fail(call, "the link was closed")
        elif node is None:
            self._doubted.set()
            self._park(call)
        else:
            self._link(node).queue(call)

    def _any_node(self) -> Node | None:
        nodes = self._map.nodes()
        standing = [node for node in nodes if (link := self._links.get(node)) and link.connected.is_set()]
        return random.choice(standing or list(nodes)) if nodes else None  # noqa: S311  spreads load, hides nothing

    def _park(self, call: Call) -> None:
        call.is_asking = False
        if len(self._parked) >= _MOST_PARKED:
            fail(call, "too many commands wait for the cluster")
        else:
            self._parked.append(call)
            self._has_parked.set()

    async def _keep_parked(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._has_parked.wait()
            await asyncio.sleep(_AGAIN_S)
            self._has_parked.clear()
            parked, self._parked = self._parked, deque()
            for call in parked:
                if call.deadline < loop.time():
                    fail(call, "no node of the cluster takes this now")
                elif not call.reply.done():
                    self._dispatch(call)

    def _refused(self, node: Node, call: Call, error: ResponseError) -> bool:
        """See to a command that a node did not run; False if the error is the caller's."""
        told = words(error)
        redirect = parse_redirect(told, node)
        if redirect is not None:
            self._redirect(call, redirect)
        elif told.startswith(_LATER):
            self._doubted.set()
            self._park(call)
        else:
            return False
        return True

    def _redirect(self, call: Call, redirect: Redirect) -> None:
        if not redirect.is_ask:
            self.learn(redirect)
            call.redirects += 1
            if call.redirects > 1:
                self._park(call)  # two nodes that name each other must not be asked at the speed of the wire
                return
        if self._group is None:
            fail(call, "the link was closed")
        else:
            call.is_asking = redirect.is_ask
            self._link(redirect.node).queue(call)

    def learn(self, redirect: Redirect) -> None:
        """Take note of a slot that moved; more may have."""
        self._map.move(redirect.slot, redirect.node)
        self._doubted.set()

    def doubt(self) -> None:
        """Have the map read anew soon."""
        self._doubted.set()

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _link(self, node: Node) -> NodeLink:
        link = self._links.get(node)
        if link is None:
            assert self._group is not None
            link = self._links[node] = NodeLink(
                self._opener(self._address.url_of(node)),
                timeout_s=self._timeout_s,
                greet=self._greet,
                on_refused=lambda call, error: self._refused(node, call, error),
                on_lost=self._doubted.set,
            )
            self._tasks[node] = self._group.create_task(_keep_up(link))
        return link

    async def open_connection(self) -> AbstractConnection:
        """Open a connection to any node that stands. Raises OSError if none is known."""
        node = self._any_node()
        if node is None:
            raise OSError("no node of the cluster is known")
        return await self.open_node(node)

    async def open_node(self, node: Node) -> AbstractConnection:
        """Open a connection to one node; it is closed when the node owns nothing any more."""
        connection = await self._opener(self._address.url_of(node))()
        self._opened[connection] = node
        return connection

    # ── the map ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_map(self) -> None:
        while True:
            self._doubted.clear()
            await self._read_map()
            await self._let_go()
            is_well = self.connected.is_set() and all(link.connected.is_set() for link in self._links.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READ_EVERY_S if is_well else _READ_AGAIN_S):
                    await self._doubted.wait()
            await asyncio.sleep(_AGAIN_S)  # many doubts are one

    async def _read_map(self) -> None:
        standing = [node for node, link in self._links.items() if link.connected.is_set()]
        known = list({*self._links, *self._map.nodes(), *self._address.nodes})
        asked = random.sample(standing or known, min(_ASKED_AT_ONCE, len(standing or known)))
        answers = await self._ask_all(asked)
        if not answers:
            self.connected.clear()
            return
        epoch, rows, node = max(answers, key=lambda answer: answer[0])
        found = parse_slots(rows, node)
        now = asyncio.get_running_loop().time()
        if epoch < self._epoch and now - self._read_at < _OLDER_AFTER_S:
            return
        has_changed = found != self._map
        self._epoch, self._read_at, self._map = epoch, now, found
        self.connected.set()
        if has_changed:
            _log.info("cluster.map", nodes=len(found.nodes()), epoch=epoch)
            for told in self.on_change:
                told()

    async def _ask_all(self, nodes: list[Node]) -> list[tuple[int, list[Any], Node]]:
        asking = [asyncio.ensure_future(self._ask(node)) for node in nodes]
        try:
            done, late = await asyncio.wait(asking, timeout=_PATIENCE_S)
            if late and not any(task.result() for task in done):
                done, _ = await asyncio.wait(asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return [answer for task in done if (answer := task.result()) is not None]

    async def _ask(self, node: Node) -> tuple[int, list[Any], Node] | None:
        link = self._link(node)
        try:
            info, rows = link.call("CLUSTER", "INFO"), link.call("CLUSTER", "SLOTS")
            epoch, slots = parse_epoch(await info), await rows
        except (StoreUnavailable, ResponseError) as error:
            self.trouble = str(error)
            _log.debug("cluster.no_answer", error=str(error))
            return None
        return epoch, slots, node

    async def _let_go(self) -> None:
        """Take what was not sent away from nodes that do not stand, and leave those that own nothing."""
        owners = self._map.nodes()
        for node, link in list(self._links.items()):
            if not link.connected.is_set() or node not in owners:
                for call in link.take_unsent():
                    self._dispatch(call)
            if self.connected.is_set() and node not in owners and link.is_idle:
                del self._links[node]
                self._tasks.pop(node).cancel()
        for connection, node in list(self._opened.items()):
            if owners and node not in owners and connection.is_connected:
                await connection.disconnect(nowait=True)


async def _keep_up(link: Link) -> None:
    async with link.open():
        await asyncio.Event().wait()
