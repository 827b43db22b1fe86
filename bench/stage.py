"""Stage: Redis, the model server, and contenders, as real processes on loopback.

Owns what runs at one time, and what it used between two looks. Does not own what is measured.

Guarantees: within `stage` the servers answer; after it nothing that it started is left. A contender is started at its
first use and stays, idle, beside the others: an idle one costs next to nothing, and nobody is measured cold.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from andon.embedded import EmbeddedValkey
from bench.contender import Contender, Place, Role
from bench.model.door import Model, model_port
from bench.process import Process, cpu_s
from bench.redis_count import RedisLook, RedisMeter
from tests.stack.ports import free_port

# Thousands of connections; and no cut of a subscriber that the naive design lets fall behind.
_REDIS: Final = {"maxclients": "20000", "client-output-buffer-limit": "pubsub 0 0 0", "save": ""}


class Cast(msgspec.Struct):
    """A contender that runs."""

    contender: Contender
    # Gateways and workers that were asked for.
    shape: tuple[int, int]
    # By role, its processes.
    processes: dict[Role, list[Process]]
    # Of its gateways, in their order.
    ports: list[int]

    @property
    def name(self) -> str:
        """Its short name."""
        return self.contender.name

    def every(self) -> list[Process]:
        """Return all of its processes."""
        return [process for group in self.processes.values() for process in group]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU that it has used so far, by role."""
        return {role.value: sum(cpu_s(each.pid) for each in group) for role, group in self.processes.items()}

    def check(self) -> None:
        """Raise ProcessError if one has ended."""
        for process in self.every():
            process.check()


class Usage(msgspec.Struct, frozen=True):
    """What all have used so far."""

    at_s: float
    # By role.
    contender: dict[str, float]
    redis: RedisLook
    model: float


class Stage:
    """What runs."""

    def __init__(self, directory: Path, valkey: EmbeddedValkey, redis_url: str, model: Model) -> None:
        self._directory = directory
        self.redis_url = redis_url
        self.redis = RedisMeter(redis_url, valkey.pid)
        self.model = model
        # By name.
        self._casts: dict[str, Cast] = {}
        self._started = 0

    async def cast(self, contender: Contender, *, gateways: int = 1, workers: int = 1) -> Cast:
        """Return a running contender with so many processes; started now, if it is not running yet."""
        cast = self._casts.get(contender.name)
        if cast is None or cast.shape != (gateways, workers):
            cast = await self.fresh(contender, gateways=gateways, workers=workers)
        cast.check()
        return cast

    async def fresh(self, contender: Contender, *, gateways: int = 1, workers: int = 1) -> Cast:
        """Start a contender's processes anew, side by side. Those that run end first: they would share its work."""
        if contender.name in self._casts:
            await self.end(self._casts[contender.name])
        place = Place(upstream=self.model.upstream, redis_url=self.redis_url, gateways=gateways, workers=workers)
        programs = contender.programs(place)
        cast = self._casts[contender.name] = Cast(contender, (gateways, workers), {}, [])
        try:
            for program in programs:
                self._started += 1
                name = f"{contender.name}-{program.role}-{self._started}"
                process = Process(name, program.argv, program.env, self._directory / f"{name}.log")
                cast.processes.setdefault(program.role, []).append(process)
            started = iter(cast.every())
            by_role = sorted(programs, key=lambda program: list(cast.processes).index(program.role))
            ports = await asyncio.gather(*(next(started).ready(program.ready) for program in by_role))
        except BaseException:
            await self.end(cast)
            raise
        cast.ports += [port for port in ports if port]
        return cast

    async def end(self, cast: Cast) -> None:
        """End a contender."""
        if self._casts.get(cast.name) is cast:
            del self._casts[cast.name]
        processes = cast.every()
        for process in processes:
            process.terminate()
        await asyncio.gather(*(process.ended() for process in processes))

    async def usage(self, cast: Cast) -> Usage:
        """Look at what all have used."""
        loop = asyncio.get_running_loop()
        return Usage(
            at_s=loop.time(),
            contender=cast.cpu_s(),
            redis=await self.redis.look(),
            model=cpu_s(self.model.process.pid),
        )

    async def clear(self) -> None:
        """End all contenders."""
        for cast in list(self._casts.values()):
            await self.end(cast)

    async def close(self) -> None:
        """End all contenders, and hang up."""
        await self.clear()
        await self.redis.close()
        await self.model.close()


@asynccontextmanager
async def stage(logs: Path | None = None) -> AsyncIterator[Stage]:
    """Start Redis and the model server. `logs`: where what the processes write is kept; None: nowhere."""
    async with contextlib.AsyncExitStack() as held:
        directory = (
            Path(held.enter_context(tempfile.TemporaryDirectory(prefix="andon-bench-"))) if logs is None else logs
        )
        port = free_port()
        valkey = EmbeddedValkey(port=port, config=_REDIS)
        await asyncio.to_thread(valkey.start)
        held.callback(valkey.stop)
        process = Process("model", (sys.executable, "-m", "bench.model"), {}, directory / "model.log")
        held.push_async_callback(_ended, process)
        model = Model(process, await process.ready(model_port))
        running = Stage(directory, valkey, f"redis://127.0.0.1:{port}/0", model)
        held.push_async_callback(running.close)
        yield running


async def _ended(process: Process) -> None:
    process.terminate()
    await process.ended()
