"""Load: live streams on a contender while something else is measured, and whether they could be had.

Owns the load generator for the time of the block. Guarantees: when the block is entered every stream has its first
token; when it is left the model server has no request of it any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from bench.generator.remote import Generator, generator
from bench.process import cpu_s
from bench.stage import Cast, Stage

_FOR_EVER: Final = 1_000_000
_IDLE_S: Final = 60.0
# Of a core: above it, the generator or the model server may be what was slow.
BUSY: Final = 0.8


class LoadLook(msgspec.Struct, frozen=True):
    """What a load was, over the time of the measure."""

    streams: int
    rate: float
    delivered_a_second: float
    # Of a core: the load generator, the model server, each role of the contender.
    generator: float
    model: float
    contender: dict[str, float]
    redis: float

    @property
    def is_met(self) -> bool:
        """Whether nearly all that was asked for was delivered: the contender was not saturated."""
        return self.delivered_a_second > 0.95 * self.streams * self.rate


class Load:
    """A running load."""

    def __init__(self, stage: Stage, cast: Cast, generator: Generator, streams: int, rate: float) -> None:
        self._stage, self._cast = stage, cast
        self.generator = generator
        self._wanted = (streams, rate)
        self._before: tuple[float, float, float, dict[str, float], float] | None = None

    async def begin(self, *, ages: bool = False) -> None:
        """Begin the time that `look` tells of."""
        await self.generator.look(ages=ages)
        self._before = await self._now()

    async def look(self) -> LoadLook:
        """Tell what the load was since `begin`."""
        assert self._before is not None
        before, after = self._before, await self._now()
        seconds = after[0] - before[0]
        look = await self.generator.look()
        return LoadLook(
            streams=self._wanted[0],
            rate=self._wanted[1],
            delivered_a_second=look.tokens / look.seconds,
            generator=(after[1] - before[1]) / seconds,
            model=(after[2] - before[2]) / seconds,
            contender={role: (cpu - before[3][role]) / seconds for role, cpu in after[3].items()},
            redis=(after[4] - before[4]) / seconds,
        )

    async def _now(self) -> tuple[float, float, float, dict[str, float], float]:
        stage = self._stage
        redis = (await stage.redis.look()).cpu_s
        at_s = asyncio.get_running_loop().time()
        return at_s, cpu_s(self.generator.pid), cpu_s(stage.model.process.pid), self._cast.cpu_s(), redis


@asynccontextmanager
async def loaded(stage: Stage, cast: Cast, streams: int, rate: float) -> AsyncIterator[Load]:
    """Keep so many streams alive."""
    async with generator(cast.name, cast.ports) as crowd:
        await crowd.open(streams)
        await crowd.start(rate, _FOR_EVER)
        yield Load(stage, cast, crowd, streams, rate)
        await crowd.stop()
        await crowd.close()
        await stage.model.idle(_IDLE_S)
    await stage.model.forget()
