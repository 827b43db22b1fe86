"""Measure 6: one response to many sockets. CPU a delivered token, and how late the token is."""

import asyncio
import secrets
from typing import Final

import msgspec

from bench.ask import Ask
from bench.contender import Ability, Contender
from bench.contenders import ANDON
from bench.generator.remote import generator
from bench.generator.stream import Stream
from bench.measures.chosen import movers
from bench.model.door import ModelError
from bench.size import Size
from bench.stage import Cast, Stage

_RATE: Final = 50.0
_FOR_EVER: Final = 1_000_000
_IDLE_S: Final = 30.0
_LOST_S: Final = 2.0  # a stop that has closed nothing by then was lost


class FanOutRound(msgspec.Struct):
    """One look."""

    # The contender's processes and Redis, a token and socket.
    cpu_us: float
    age_p50_us: int
    age_p99_us: int


class FanOut(msgspec.Struct):
    """By contender, by number of sockets (as text: JSON has no other keys), its rounds."""

    rounds: dict[str, dict[str, list[FanOutRound]]]


async def measure(stage: Stage, size: Size) -> FanOut:
    """Attach more and more sockets to one response of each in turn."""
    peers = [peer for peer in movers(size) if Ability.ATTACH in peer.abilities]
    found = FanOut({})
    for _ in range(size.rounds):
        for contender in (ANDON, *peers):
            by_sockets = found.rounds.setdefault(contender.name, {})
            for sockets in size.fan_out:
                look = await _round(stage, contender, sockets, size.fan_out_window_s)
                by_sockets.setdefault(str(sockets), []).append(look)
    return found


async def _over(stage: Stage, cast: Cast) -> None:
    """Wait until the stop has closed the upstream; end a peer that has lost it. Raises ModelError if Andon has."""
    try:
        await stage.model.idle(_IDLE_S if cast.contender is ANDON else _LOST_S)
    except ModelError:
        if cast.contender is ANDON:
            raise
        await stage.end(cast)
        await stage.model.idle(_IDLE_S)


async def _round(stage: Stage, contender: Contender, sockets: int, seconds: float) -> FanOutRound:
    cast = await stage.cast(contender)
    owner = await Stream.open(contender, cast.ports[0], f"fan-{secrets.token_hex(6)}")
    owner.create(Ask(key=secrets.token_hex(8), rate=_RATE, tokens=_FOR_EVER))
    response_id = await owner.started
    await owner.first
    async with generator(contender.name, cast.ports) as crowd:
        if sockets > 1:  # the owner is one of them
            await crowd.open(sockets - 1)
            await crowd.attach(response_id)
        await crowd.look(ages=True)
        owner.tokens, owner.wants_ages = 0, True
        before = await stage.usage(cast)
        await asyncio.sleep(seconds)  # the length of the measure
        after, look = await stage.usage(cast), await crowd.look()
        owner.wants_ages = False
    tokens = max(look.tokens + owner.tokens, 1)
    ages = sorted([*look.ages_us, *owner.ages_us]) or [0]
    owner.stop(response_id)
    await _over(stage, cast)
    owner.close()
    await stage.model.forget()
    used = sum(after.contender.values()) - sum(before.contender.values()) + after.redis.cpu_s - before.redis.cpu_s
    return FanOutRound(
        cpu_us=used / tokens * 1e6, age_p50_us=ages[len(ages) // 2], age_p99_us=ages[len(ages) * 99 // 100]
    )
