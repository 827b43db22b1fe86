"""Cluster replication: a script whose effect is answered for only after a replica of its slot's master has it.

Owns one `Replication` a master. Guarantees what that does. Where the slot is moving, or was moved, the script runs all
the same, over the cluster's own links, and says that no replica acknowledged it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

from redis.exceptions import ResponseError

from andon.address import Node
from andon.cluster import Cluster
from andon.errors import StoreUnavailable
from andon.lifetime import task_group
from andon.link import Argument
from andon.replication import Replication
from andon.script import Script
from andon.slots import slot_of


class ClusterReplication:
    """Scripts that wait for a replica of their slot. `plain` runs a script wherever its slot is now."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        timeout_s: float,
        wait_s: float,
        plain: Callable[[Script, Sequence[str], Sequence[Argument]], Awaitable[Any]],
    ) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._plain = plain
        self._nodes: dict[Node, Replication] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["ClusterReplication"]:
        """Keep a connection to each master up, and count replicas, for as long as the context lasts."""
        async with task_group() as group:
            self._group = group
            self._cluster.on_change.append(self._remap)
            self._remap()
            try:
                yield self
            finally:
                self._cluster.on_change.remove(self._remap)
                self._group = None
                for task in self._tasks.values():
                    task.cancel()

    async def count(self) -> int:
        """Count the replicas of all masters now. Raises StoreUnavailable."""
        return sum(await asyncio.gather(*(node.count() for node in self._nodes.values())))

    def serves(self, key: str) -> bool:
        """Tell whether the master of this key has a replica to wait for, or had one."""
        node = self._node_of(key)
        return node is not None and node.had_replicas

    async def eval(
        self, script: Script, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[Any, float | Literal[False] | None]:
        """Run a script and wait for a replica; return its reply, and when a replica had it. Raises StoreUnavailable."""
        node = self._node_of(keys[0])
        if node is not None:
            try:
                return await node.eval(script, keys, args)
            except ResponseError:
                # Refused unrun: the slot is elsewhere. What is wrong with the script itself is told once more below.
                self._cluster.doubt()
            except StoreUnavailable:
                self._cluster.doubt()
                raise
        return await self._plain(script, keys, args), False

    def _node_of(self, key: str) -> Replication | None:
        owner = self._cluster.owner(slot_of(key))
        return None if owner is None else self._nodes.get(owner)

    def _remap(self) -> None:
        if self._group is None:
            return
        owners = self._cluster.nodes
        # A replica that took over has none yet, and its master had one.
        had_replicas = any(node.had_replicas for node in self._nodes.values())
        for node in owners - self._nodes.keys():
            made = self._nodes[node] = Replication(
                lambda node=node: self._cluster.open_node(node),  # type: ignore[misc]
                timeout_s=self._timeout_s,
                wait_s=self._wait_s,
            )
            made.had_replicas = had_replicas
            self._tasks[node] = self._group.create_task(_keep_up(made))
        for node in self._nodes.keys() - owners:
            del self._nodes[node]
            self._tasks.pop(node).cancel()


async def _keep_up(replication: Replication) -> None:
    async with replication.open():
        await asyncio.Event().wait()
