"""Stack: Valkey, the sim, gateways and workers, as real processes on this machine.

Owns which processes there are, their environment, and the judgement at the end. Does not own their single lives
(`tests.stack.process`), nor what a test makes of them.

Guarantees: within the block everything that was started is ready; after it nothing that it started is left, and the
block has failed if a process died by itself, logged an error or anything secret, left a key without a time to live, or
left a request at the model server open.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import msgspec
import pytest

from andon.embedded import EmbeddedValkey
from andon.sim.options import SimOptions

from . import faults
from .client import Client, Doors
from .process import Process
from .servers import Servers, Standalone
from .simulator import OPTIONS, Meter
from .topologies import servers_of

_LOG_TAIL_CHARS = 3000


class Gateway(Process):
    """A gateway; `port` is known once it is ready."""

    port: int = 0

    @property
    def http(self) -> str:
        """Its base for HTTP, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its WebSocket endpoint."""
        return f"ws://127.0.0.1:{self.port}/v1/responses"

    async def get(self, path: str) -> httpx2.Response:
        """Ask its HTTP side."""
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=10.0) as http:
            return await http.get(self.http + path)


class Stack:
    """A running stack. `env` overrides settings of every gateway and worker.

    It is bound to no event loop: one stack serves tests that each have a loop of their own.
    """

    def __init__(
        self,
        logs: Path,
        *,
        gateways: int = 2,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        servers: Servers | None = None,
        sim: SimOptions = OPTIONS,
    ) -> None:
        self._logs = logs
        self._wanted = (gateways, workers)
        self._env = dict(env or {})
        self._sim = sim
        self.api_key = f"sk-secret-{secrets.token_hex(16)}"
        self.servers = servers or servers_of()
        # What tests let in clients with, and whatever else no log may hold.
        self.secrets = {self.api_key}
        self.gateways: list[Gateway] = []
        self.workers: list[Process] = []
        # Every process that was started, those that have ended included.
        self.processes: list[Process] = []
        # Words in log lines of level error that a test has declared.
        self._expected: set[str] = set()
        # How much of each log `check_quiet` has judged.
        self._judged: dict[Process, int] = {}
        self._doors = Doors(self.api_key)
        self.meter = Meter("")

    @property
    def valkey(self) -> EmbeddedValkey:
        """The one server, for tests that are about one: skipped where there are several."""
        if not isinstance(self.servers, Standalone):
            pytest.skip("is about the one server")
        return self.servers.nodes[0]

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────

    async def start_gateway(self, *, port: int = 0, **env: str) -> Gateway:
        """Start one more gateway, wait until it is ready, and return it."""
        name = f"gateway-{len(self.processes)}"
        argv = [sys.executable, "-m", "gateway", "--port", str(port)]
        gateway = Gateway(name, argv, self.environment(**env), self._logs)
        self.processes.append(gateway)
        gateway.port = (await gateway.ready("gateway.ready"))["port"]
        self.gateways.append(gateway)
        return gateway

    async def start_worker(self, **env: str) -> Process:
        """Start one more worker, wait until it is ready, and return it."""
        name = f"worker-{len(self.processes)}"
        worker = Process(name, [sys.executable, "-m", "worker"], self.environment(**env), self._logs)
        self.processes.append(worker)
        await worker.ready("worker.ready")
        self.workers.append(worker)
        return worker

    def environment(self, **env: str) -> dict[str, str]:
        """Return the whole environment of a gateway or worker of this stack; nothing of the caller's own settings."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANDON_", "OPENAI_", "OTEL_"))
        }
        return {
            **kept,
            "ANDON_REDIS_URL": self.servers.url,
            "ANDON_LOG_LEVEL": "debug",
            # A machine that runs many tests at once may starve a worker for seconds; where the lease is what a test is
            # about, the test sets it.
            "ANDON_LEASE_S": "20",
            "OPENAI_BASE_URL": self.meter.base_url,
            "OPENAI_API_KEY": self.api_key,
            **self._env,
            **env,
        }

    # ── what tests do ────────────────────────────────────────────────────────────────────────────────────────────

    def connect(self, gateway: int = 0, **query: str | int) -> AbstractAsyncContextManager[Client]:
        """Open a socket to the gateway of this number."""
        return self._doors.open(self.gateways[gateway].url, **query)

    def connect_as(
        self, token: str | None, gateway: int = 0, **query: str | int
    ) -> AbstractAsyncContextManager[Client]:
        """Open a socket as whoever has this token, which no log may hold; None: as nobody."""
        if token is not None:
            self.secrets.add(token)
        return self._doors.open_as(token, self.gateways[gateway].url, **query)

    def expect_log(self, word: str) -> None:
        """Declare that log lines of level error with this word in them belong to the test."""
        self._expected.add(word)

    async def check_quiet(self) -> None:
        """Assert that no fault has shown since the last look: what a test on a shared stack is held to."""
        found = list(faults.unexpected_ends(self.processes)) or await self._open_upstreams()
        for process in self.processes:
            found += faults.bad_lines(process, self._expected, skip_bytes=self._judged.get(process, 0))
            self._judged[process] = process.log_path.stat().st_size
        assert not found, "\n".join(found)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        """Start everything; what can start side by side does."""
        try:
            await asyncio.to_thread(self.servers.start)
            options = msgspec.json.encode(self._sim).decode()
            sim = Process("sim", [sys.executable, "-m", "tests.stack.simulator", options], dict(os.environ), self._logs)
            self.processes.append(sim)
            self.meter = Meter((await sim.ready("sim.ready"))["base_url"])
            gateways, workers = self._wanted
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self.start_worker())
                for _ in range(gateways):
                    group.create_task(self.start_gateway())
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything, then judge. A test that failed already is told what the processes said."""
        found: list[str] = []
        try:
            if error is None:
                found += faults.unexpected_ends(self.processes)
                if not found:  # a dead process cannot be asked
                    found += await self._open_upstreams()
                found += await asyncio.to_thread(lambda: list(faults.immortal_keys(self.servers)))
        finally:
            found += await self._end()
        for process in self.processes:
            found += faults.bad_lines(process, self._expected)
        found += faults.leaked_secrets(self.processes, self.secrets)
        if error is not None:
            error.add_note("\n".join([*found, *(f"{p.name}: {p.log()[-_LOG_TAIL_CHARS:]}" for p in self.processes)]))
        else:
            assert not found, "\n".join(found)

    async def _open_upstreams(self) -> list[str]:
        """Find requests at the model server that no job is behind any more."""
        reading = await self.meter.read()
        if reading.open:
            reading = await self.meter.read(until="idle")
        return [f"{reading.open} requests at the model server are still open"] if reading.open else []

    async def _end(self) -> list[str]:
        """End all processes, gateways first and the sim last; tell which of them did not end well."""
        found: list[str] = []
        for group in (self.gateways, self.workers, self.processes):
            running = [process for process in group if process.exit_code is None]
            for process in running:
                process.thaw()
            for process, code in zip(
                running, await asyncio.gather(*(p.stop() for p in running), return_exceptions=True), strict=True
            ):
                if code != 0:
                    found.append(f"{process.name} answered SIGTERM with {code!r}, not with exit code 0")
        for process in self.processes:
            await asyncio.to_thread(process.close)
        await asyncio.to_thread(self.servers.stop)
        return found
