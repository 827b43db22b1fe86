"""Plant: a stack whose server keeps its data, with a bad network beside the good one, and a record of what was frozen.

Owns the extra: the append-only server, the proxies in front of it, and freezing with a memory. The rest is
`tests.stack.stack`, its judgement at the end included.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from andon.database import Database
from tests.chaos.proxy import Proxy
from tests.stack.process import Process
from tests.stack.servers import Standalone, until
from tests.stack.stack import Stack
from tests.stack.topologies import servers_of


class Freeze(msgspec.Struct, frozen=True):
    """A process was frozen; Unix seconds."""

    frozen_at: float
    thawed_at: float


class Plant(Stack):
    """Two gateways, some workers, Valkey and the sim; one worker and one gateway have a proxy to Redis."""

    def __init__(self, logs: Path, *, workers: int, lease_s: float, env: Mapping[str, str] | None = None) -> None:
        # Several commands must fit into the lease, as they do with the defaults.
        settings = {"ANDON_LEASE_S": str(lease_s), "ANDON_LOG_LEVEL": "info", **(env or {})}
        # `no`: written before the answer, as with `always`, so a crash of the server loses nothing that was answered;
        # but left to the kernel, since a slow disk of the test machine would freeze the server for seconds.
        servers = servers_of(appendonly=logs / "valkey", config={"appendfsync": "no"})
        super().__init__(logs, gateways=1, workers=workers - 1, env=settings, servers=servers)
        self.lease_s = lease_s
        self.freezes: list[Freeze] = []
        self._nest = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the stack, then the two processes behind proxies."""
        await super().__aenter__()
        try:
            self.database = await self._nest.enter_async_context(Database(self.servers.url, timeout_s=2.0).open())
            await asyncio.gather(*await self._far_processes())
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _far_processes(self) -> list[Coroutine[Any, Any, object]]:
        if not isinstance(self.servers, Standalone):
            # Sentinels and nodes say themselves where the servers are: no proxy stays in between.
            return [self.start_worker(), self.start_gateway()]
        target = Path(self.valkey.url.removeprefix("unix://"))
        self.worker_network = await self._nest.enter_async_context(Proxy(target).open())
        self.gateway_network = await self._nest.enter_async_context(Proxy(target).open())
        return [
            self.start_worker(ANDON_REDIS_URL=self.worker_network.url),
            self.start_gateway(ANDON_REDIS_URL=self.gateway_network.url),
        ]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stack while the proxies still carry its goodbyes."""
        async with self._nest:
            await super().__aexit__(kind, error, traceback)

    @property
    def urls(self) -> list[str]:
        """The endpoints of all gateways."""
        return [gateway.url for gateway in self.gateways]

    @property
    def far_worker(self) -> Process:
        """The worker behind the proxy."""
        return self.workers[-1]

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
