"""Plant: a stack whose servers keep their data, with bad networks beside the good one, and a record of freezes.

Owns the extra: the append-only servers, the networks in front of them, and freezing with a memory. The rest is
`tests.stack.stack`, its judgement at the end included.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from andon import keys
from andon.database import Database
from andon.ids import WorkerId
from andon.lifetime import task_group
from tests.chaos.network import Network
from tests.stack.process import Process
from tests.stack.servers import until
from tests.stack.stack import Stack
from tests.stack.topologies import servers_of


class Freeze(msgspec.Struct, frozen=True):
    """A process was frozen; Unix seconds."""

    frozen_at: float
    thawed_at: float


class Plant(Stack):
    """Two gateways, some workers, Valkey and the sim; one worker and one gateway have a network of their own to it."""

    def __init__(self, logs: Path, *, workers: int, lease_s: float, env: Mapping[str, str] | None = None) -> None:
        # Several commands must fit into the lease, as they do with the defaults.
        settings = {"ANDON_LEASE_S": str(lease_s), "ANDON_LOG_LEVEL": "info", **(env or {})}
        # `no`: written before the answer, as with `always`, so a crash of the server loses nothing that was answered;
        # but left to the kernel, since a slow disk of the test machine would freeze the server for seconds.
        servers = servers_of(appendonly=logs / "valkey", config={"appendfsync": "no"})
        super().__init__(logs, gateways=1, workers=workers - 1, env=settings, servers=servers)
        self.lease_s = lease_s
        self.freezes: list[Freeze] = []
        # Between Redis and the one worker, the one gateway, that are behind them.
        self.worker_network = Network(self.servers)
        self.gateway_network = Network(self.servers)
        self._nest = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the stack, then the two processes behind networks."""
        await super().__aenter__()
        try:
            self.database = await self._nest.enter_async_context(Database(self.servers.url, timeout_s=2.0).open())
            await self._start_far_processes()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _start_far_processes(self) -> None:
        for network in (self.worker_network, self.gateway_network):
            await self._nest.enter_async_context(network.open())
        async with task_group() as group:
            worker = group.create_task(self.start_worker(ANDON_REDIS_URL=self.worker_network.url))
            gateway = group.create_task(self.start_gateway(ANDON_REDIS_URL=self.gateway_network.url))
        self._far_worker = worker.result()
        self.worker_network.belongs_to(self._far_worker)
        self.gateway_network.belongs_to(gateway.result())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stack while the networks still carry its goodbyes."""
        async with self._nest:
            await super().__aexit__(kind, error, traceback)

    async def port_of_lease(self) -> int:
        """Return the port of the master that holds the lease of the worker behind a network."""
        worker_id = WorkerId(self._far_worker.log_events("worker.ready")[-1]["worker"])
        return (await asyncio.to_thread(self.servers.holder, keys.lease(worker_id))).port or 0

    def look(self) -> None:
        """Assert that neither process behind a network has a connection past it, now."""
        self.worker_network.look()
        self.gateway_network.look()

    @property
    def urls(self) -> list[str]:
        """The endpoints of all gateways."""
        return [gateway.url for gateway in self.gateways]

    @contextlib.asynccontextmanager
    async def frozen(self, process: Process) -> AsyncIterator[None]:
        """Freeze a process for the length of a block."""
        frozen_at = time.time()
        process.freeze()
        try:
            yield
        finally:
            process.thaw()
            self.freezes.append(Freeze(frozen_at, time.time()))

    async def freeze_server(self, seconds: float) -> None:
        """Freeze a master for so long."""
        (master, *_) = await asyncio.to_thread(self.servers.masters)
        os.kill(master.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(master.pid, signal.SIGCONT)

    async def restart_server(self, *, keep_data: bool) -> None:
        """Kill a master as a crash would, and start it again."""
        (master, *_) = await asyncio.to_thread(self.servers.masters)
        await asyncio.to_thread(master.kill)
        await asyncio.to_thread(master.restart, keep_data=keep_data)

    async def kill_master(self) -> None:
        """Kill a master whose replica is in step, and leave it dead until that is the master; then it comes back."""
        await asyncio.to_thread(self.servers.wait_whole)
        (master, *_) = await asyncio.to_thread(self.servers.masters)
        count = len(await asyncio.to_thread(self.servers.masters))
        await asyncio.to_thread(master.kill)
        await asyncio.to_thread(until, lambda: len(self.servers.masters()) == count, "a replica takes over")
        await asyncio.to_thread(master.restart, keep_data=True)

    async def freeze_master(self) -> None:
        """Freeze a master whose replica is in step until that is the master; then it goes on where it was."""
        await asyncio.to_thread(self.servers.wait_whole)
        (master, *others) = await asyncio.to_thread(self.servers.masters)
        os.kill(master.pid, signal.SIGSTOP)
        try:
            await asyncio.to_thread(until, lambda: len(self.servers.masters()) > len(others), "a replica takes over")
        finally:
            os.kill(master.pid, signal.SIGCONT)
