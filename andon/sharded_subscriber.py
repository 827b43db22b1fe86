"""Sharded subscriber: the subscriptions of a cluster, each at the node that owns its channel's slot.

Owns one `Subscriber` a node, and where each channel is. Does not own the map (`Cluster`). Guarantees what `Subscriber`
does: `subscribe` returns once the owning node has confirmed, and every confirmation is told. When a slot moves, its
node says so (it drops the subscriptions, or refuses with MOVED), or the map does: the channel is subscribed at the new
owner, is deaf until that has confirmed, and the confirmation is told, for what was published in between was missed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from redis.exceptions import ResponseError

from andon.address import Node
from andon.cluster import Cluster
from andon.connection import OpenConnection
from andon.errors import StoreUnavailable
from andon.lifetime import task_group
from andon.link import words
from andon.slots import parse_redirect, slot_of
from andon.subscriber import Subscriber

_AGAIN_S: Final = 0.05


class _NodeSubscriber(Subscriber):
    """The subscriptions at one node. `on_left` is told of channels that this node has not, or has no longer."""

    def __init__(
        self,
        open_connection: OpenConnection,
        node: Node,
        *,
        timeout_s: float,
        ping_every_s: float,
        on_message: Callable[[str, bytes], None],
        on_confirmed: Callable[[str], None],
        on_left: Callable[[list[str]], None],
        on_lost: Callable[[list[str]], None],
        learn: Callable[[ResponseError, Node], int | None],
    ) -> None:
        super().__init__(
            open_connection,
            sharded=True,
            timeout_s=timeout_s,
            ping_every_s=ping_every_s,
            on_message=on_message,
            on_confirmed=on_confirmed,
        )
        self._node = node
        self._on_left = on_left
        self._on_lost = on_lost
        self._learn = learn

    @property
    def is_idle(self) -> bool:
        """Tell whether no channel is wanted here."""
        return not self._wanted

    def _packed(self, commands: list[tuple[str, str]]) -> list[tuple[str | bytes | int | float, ...]]:
        # A command takes channels of one slot only, and hardly two sessions share one.
        return [(self._prefix + verb, channel) for verb, channel in commands]

    def _take(self, reply: Any) -> None:
        if isinstance(reply, list) and reply[0] == b"sunsubscribe" and reply[1] is not None:
            channel = reply[1].decode()
            confirmed = self._wanted.get(channel)
            # One that is wanted and not confirmed was left and is wanted again: this is the answer to the leaving.
            if confirmed is not None and confirmed.done():
                self._on_left([channel])
            return
        super()._take(reply)

    def _refused(self, error: ResponseError) -> None:
        slot = self._learn(error, self._node)
        unconfirmed = [channel for channel, confirmed in self._wanted.items() if not confirmed.done()]
        # Without a slot: the cluster is down, whatever was asked.
        self._on_left([channel for channel in unconfirmed if slot is None or slot_of(channel) == slot])

    def _lost(self) -> None:
        heard = [channel for channel, confirmed in self._wanted.items() if confirmed.done()]
        super()._lost()
        self._on_lost(heard)


class ShardedSubscriber:
    """Subscriptions to sharded channels, wherever their slots are."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        timeout_s: float,
        ping_every_s: float,
        on_message: Callable[[str, bytes], None],
        on_confirmed: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._ping_every_s = ping_every_s
        self._on_message = on_message
        self._on_confirmed = on_confirmed
        # Every channel that is wanted, with the future of its confirmation where it is now.
        self._wanted: dict[str, asyncio.Future[None]] = {}
        # Where it is subscribed, or about to be; a wanted channel without an entry waits for an owner.
        self._homes: dict[str, Node] = {}
        self._nodes: dict[Node, _NodeSubscriber] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        # Set when a channel has no home.
        self._homeless = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["ShardedSubscriber"]:
        """Keep the subscriptions up for as long as the context lasts."""
        async with task_group() as group:
            self._group = group
            keeper = group.create_task(self._keep_homes())
            self._cluster.on_change.append(self._remap)
            try:
                yield self
            finally:
                self._cluster.on_change.remove(self._remap)
                self._group = None
                for task in (keeper, *self._tasks.values()):
                    task.cancel()
                for confirmed in self._wanted.values():
                    confirmed.cancel()
                # What the nodes say of their ends concerns nobody any more.
                self._wanted.clear()
                self._homes.clear()

    async def subscribe(self, channel: str) -> None:
        """Subscribe and wait for the owning node's confirmation. As `Subscriber.subscribe`."""
        confirmed = self.want(channel)
        if confirmed.done():
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise StoreUnavailable("Redis did not confirm a subscription in time; try again") from error

    def want(self, channel: str) -> "asyncio.Future[None]":
        """Subscribe without waiting; return the future of the confirmation where it is now."""
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._place(channel)
        return confirmed

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel; messages that are under way may still arrive."""
        confirmed = self._wanted.pop(channel, None)
        if confirmed is not None:
            confirmed.cancel()
            self._leave_home(channel)

    def glance(self) -> None:
        """Hear what has come already."""
        for subscriber in self._nodes.values():
            subscriber.glance()

    @property
    def deaf(self) -> bool:
        """Tell whether any wanted channel is unconfirmed at this moment."""
        return any(not confirmed.done() for confirmed in self._wanted.values())

    def _place(self, channel: str) -> None:
        owner = self._cluster.owner(slot_of(channel))
        if owner is None or self._group is None:
            self._cluster.doubt()
            self._homeless.set()
            return
        self._homes[channel] = owner
        self._node(owner, self._group).want(channel)

    def _leave_home(self, channel: str) -> None:
        home = self._homes.pop(channel, None)
        if home is not None:
            self._nodes[home].unsubscribe(channel)

    def _node(self, node: Node, group: asyncio.TaskGroup) -> _NodeSubscriber:
        subscriber = self._nodes.get(node)
        if subscriber is None:
            subscriber = self._nodes[node] = _NodeSubscriber(
                lambda: self._cluster.open_node(node),
                node,
                timeout_s=self._timeout_s,
                ping_every_s=self._ping_every_s,
                on_message=self._on_message,
                on_confirmed=lambda channel: self._confirmed(channel, node),
                on_left=lambda channels: self._left(channels, node),
                on_lost=lambda channels: self._lost(channels, node),
                learn=self._learn,
            )
            self._tasks[node] = group.create_task(_keep_up(subscriber))
        return subscriber

    def _confirmed(self, channel: str, node: Node) -> None:
        confirmed = self._wanted.get(channel)
        if confirmed is None or self._homes.get(channel) != node:
            return
        if not confirmed.done():
            confirmed.set_result(None)
        self._on_confirmed(channel)

    def _lost(self, channels: list[str], node: Node) -> None:
        """Take note that a node's connection is gone, and with it these subscriptions, until it confirms them anew."""
        self._cluster.doubt()
        for channel in channels:
            if self._homes.get(channel) == node:
                self._deafen(channel)

    def _left(self, channels: list[str], node: Node) -> None:
        """Take these channels from a node that has them no longer; they are placed anew in a moment."""
        self._cluster.doubt()
        for channel in channels:
            if self._homes.get(channel) == node:
                self._deafen(channel)
                self._leave_home(channel)
                self._homeless.set()

    def _deafen(self, channel: str) -> None:
        if self._wanted[channel].done():
            self._wanted[channel] = asyncio.get_running_loop().create_future()

    def _learn(self, error: ResponseError, node: Node) -> int | None:
        redirect = parse_redirect(words(error), node)
        if redirect is None:
            return None
        if not redirect.is_ask:
            self._cluster.learn(redirect)
        return redirect.slot

    def _remap(self) -> None:
        """Move every channel whose slot has another owner now."""
        for channel, home in list(self._homes.items()):
            if self._cluster.owner(slot_of(channel)) != home:
                self._deafen(channel)
                self._leave_home(channel)
                self._place(channel)
        for node, subscriber in list(self._nodes.items()):
            if subscriber.is_idle and node not in self._cluster.nodes:
                del self._nodes[node]
                self._tasks.pop(node).cancel()

    async def _keep_homes(self) -> None:
        while True:
            await self._homeless.wait()
            await asyncio.sleep(_AGAIN_S)
            self._homeless.clear()
            for channel in [channel for channel in self._wanted if channel not in self._homes]:
                self._place(channel)


async def _keep_up(subscriber: Subscriber) -> None:
    async with subscriber.open():
        await asyncio.Event().wait()
