"""Measures 4 and 8, and the second half of 3: what a token costs through the whole path, where, and how late it is.

Two loads. `paced`: one that Andon can take; against the two ends alone, in C and in Python, which relay the same tokens
with nothing between. `saturating`: both cores are busy, and each does as much as it can; against the peers.
After a saturating load a contender is ended, and started anew for the next: some would work off what has piled up for
minutes.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.contender import Contender
from bench.contenders import ANDON, ENDS, FLOOR, LEAN_ENDS
from bench.generator.crowd import Look
from bench.generator.remote import Generator, generator
from bench.generator.stream import StreamError
from bench.measures.chosen import movers
from bench.measures.direct_load import DirectLoad
from bench.process import ProcessError
from bench.redis_count import work
from bench.size import Size
from bench.stage import Cast, Stage, Usage

PACED: Final = "paced"
SATURATING: Final = "saturating"
DIRECT: Final = "direct"
_FOR_EVER: Final = 1_000_000
_IDLE_S: Final = 30.0
# A stream: whoever is saturated by the first ones takes minutes to start the last.
_HOLD_S: Final = 0.012
_SETTLE_S: Final = 0.5


class CostRound(msgspec.Struct):
    """One look at one contender. CPU in microseconds a token, as the client got them."""

    cpu_us: dict[str, float]
    redis_us: float
    tokens_a_second: float
    tokens_a_frame: float
    # Per token: commands that clients sent, commands that scripts ran, bytes to and from Redis.
    sent: float
    inner: float
    bytes: float
    # How old the first token of a frame was when it came, in microseconds.
    age_p50_us: int
    age_p99_us: int
    # Of a core.
    generator: float
    model: float
    # Of what was asked for.
    share_delivered: float

    @property
    def whole_us(self) -> float:
        """CPU a token, all of the contender's processes and Redis together."""
        return sum(self.cpu_us.values()) + self.redis_us


class Cost(msgspec.Struct):
    """By load, by contender, its rounds."""

    loads: dict[str, tuple[int, float]]
    rounds: dict[str, dict[str, list[CostRound]]]
    # By load, by contender: why it has fewer rounds.
    failures: dict[str, dict[str, str]]
    # Of the paced load, read straight from the model server: age p50 and p99 of each round.
    direct_ages_us: list[tuple[int, int]] = []


async def measure(stage: Stage, size: Size) -> Cost:
    """Run both loads, each contender in turn, round by round."""
    cost = Cost({PACED: size.paced, SATURATING: size.saturating}, {}, {})
    plans: Sequence[tuple[str, Sequence[Contender]]] = (
        (PACED, (ENDS, LEAN_ENDS, ANDON, FLOOR)),
        (SATURATING, (ANDON, *movers(size))),
    )
    for _ in range(size.rounds):
        for load, contenders in plans:
            for contender in contenders:
                await _round(stage, cost, load, contender, size)
            if load == PACED:
                async with DirectLoad(stage.model.upstream, *size.paced) as direct:
                    cost.direct_ages_us.append(await direct.ages_us(size.window_s / 2))
                await stage.model.idle(_IDLE_S)
                await stage.model.forget()
    return cost


async def _round(stage: Stage, cost: Cost, load: str, contender: Contender, size: Size) -> None:
    rounds = cost.rounds.setdefault(load, {}).setdefault(contender.name, [])
    streams, rate = cost.loads[load]
    # The floor's own numbering of channels allows one of it at a time: the one with two gateways, of which one works.
    cast = await stage.cast(contender, gateways=2 if contender is FLOOR else 1)
    try:
        async with generator(contender.name, cast.ports[:1]) as crowd:
            await crowd.open(streams)
            await crowd.start(rate, _FOR_EVER, hold_s=streams * _HOLD_S if load == SATURATING else 0.0)
            rounds.append(await _look(stage, cast, crowd, size.window_s, streams * rate))
            # What Andon is not told to stop it takes up again when it is started anew, beside the next load.
            if load == PACED or contender is ANDON:
                await crowd.stop()
    except (StreamError, ProcessError, TimeoutError) as error:
        cost.failures.setdefault(load, {})[contender.name] = f"{error}"[:500]
    if load == SATURATING:
        await stage.end(cast)
    await stage.model.idle(_IDLE_S)
    await stage.model.forget()


async def _look(stage: Stage, cast: Cast, crowd: Generator, seconds: float, offered: float) -> CostRound:
    await asyncio.sleep(_SETTLE_S)  # the last streams have just begun
    await crowd.look(ages=True)
    generator_s, before = crowd.cpu_s, await stage.usage(cast)
    await asyncio.sleep(seconds)  # the length of the measure
    after, look = await stage.usage(cast), await crowd.look()
    shares = await stage.redis.shares_sent()
    return _cost(before, after, look, crowd.cpu_s - generator_s, shares=shares, offered=offered)


def _cost(
    before: Usage, after: Usage, look: Look, generator_s: float, *, shares: dict[str, float], offered: float
) -> CostRound:
    tokens, seconds = max(look.tokens, 1), after.at_s - before.at_s
    done = work(before.redis, after.redis, shares)
    ages = look.ages_us or [0]
    return CostRound(
        cpu_us={role: (cpu - before.contender[role]) / tokens * 1e6 for role, cpu in after.contender.items()},
        redis_us=done.cpu_s / tokens * 1e6,
        tokens_a_second=look.tokens / look.seconds,
        tokens_a_frame=look.tokens / max(look.frames, 1),
        sent=done.sent / tokens,
        inner=done.inner / tokens,
        bytes=done.bytes / tokens,
        age_p50_us=ages[len(ages) // 2],
        age_p99_us=ages[len(ages) * 99 // 100],
        generator=generator_s / seconds,
        model=(after.model - before.model) / seconds,
        share_delivered=look.tokens / look.seconds / offered,
    )
