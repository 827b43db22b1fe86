"""Measure 7: what growth costs. Streams, workers, and sessions that Redis remembers."""

import asyncio
from typing import Final

import msgspec

from bench.contenders import ANDON
from bench.generator.remote import generator
from bench.measures.prober import Prober
from bench.measures.remembered import memory
from bench.redis_count import work
from bench.size import Size
from bench.stage import Stage

_FOR_EVER: Final = 1_000_000
_IDLE_S: Final = 60.0
_SETTLE_S: Final = 0.5


class StreamsRound(msgspec.Struct):
    """One number of streams, all with the same number of tokens a second together."""

    streams: int
    whole_us: float
    sent: float
    tokens_a_second: float


class WorkersRound(msgspec.Struct):
    """One number of workers. A stop's messages: how many workers' subscriptions got what it published."""

    workers: int
    publishes_a_stop: float
    messages_a_stop: float
    stops_us: list[int]


class SessionsRound(msgspec.Struct):
    """One number of ended sessions in Redis."""

    sessions: int
    whole_us: float
    sent: float
    stops_us: list[int]
    used_bytes: int


class Growth(msgspec.Struct):
    """All rounds."""

    streams: list[StreamsRound]
    workers: list[WorkersRound]
    sessions: list[SessionsRound]


async def measure(stage: Stage, size: Size) -> Growth:
    """Grow each."""
    streams = [
        await _streams(stage, count, size.growing_tokens / count, size.growing_window_s)
        for _ in range(size.rounds)
        for count in size.growing_streams
    ]
    workers = [await _workers(stage, count, size.growing_worker_stops) for count in size.growing_workers]
    return Growth(streams=streams, workers=workers, sessions=await _sessions(stage, size))


async def _streams(stage: Stage, streams: int, rate: float, seconds: float) -> StreamsRound:
    cast = await stage.cast(ANDON)
    async with generator(ANDON.name, cast.ports) as crowd:
        await crowd.open(streams)
        await crowd.start(rate, _FOR_EVER)
        await asyncio.sleep(_SETTLE_S)  # the last streams have just begun
        await crowd.look()
        before = await stage.usage(cast)
        await asyncio.sleep(seconds)  # the length of the measure
        after, look = await stage.usage(cast), await crowd.look()
        shares = await stage.redis.shares_sent()
        await crowd.stop()
        await crowd.close()
    await stage.model.idle(_IDLE_S)
    await stage.model.forget()
    done, tokens = work(before.redis, after.redis, shares), max(look.tokens, 1)
    used = sum(after.contender.values()) - sum(before.contender.values()) + done.cpu_s
    return StreamsRound(
        streams=streams,
        whole_us=used / tokens * 1e6,
        sent=done.sent / tokens,
        tokens_a_second=look.tokens / look.seconds,
    )


async def _workers(stage: Stage, workers: int, stops: int) -> WorkersRound:
    """Stop streams of an Andon with so many workers. Plain PUBLISH is what carries a stop, and nothing else."""
    cast = await stage.fresh(ANDON, workers=workers)
    prober = Prober(cast, stage.model)
    try:
        await prober.stop_one()  # cold
        before = await stage.redis.look()
        took_us = [(await prober.stop_one()).took_us for _ in range(stops)]
        after = await stage.redis.look()
        listeners = await stage.redis.listeners("andon:stop:*")
    finally:
        prober.close()
        await stage.end(cast)
    await stage.model.forget()
    publishes = (after.calls.get("publish", 0) - before.calls.get("publish", 0)) / stops
    return WorkersRound(
        workers=workers,
        publishes_a_stop=publishes,
        messages_a_stop=publishes * listeners,
        stops_us=[took for took in took_us if took is not None],
    )


async def _sessions(stage: Stage, size: Size) -> list[SessionsRound]:
    cast = await stage.cast(ANDON)
    remembered = await memory(stage, cast)
    prober = Prober(cast, stage.model)
    rounds = []
    streams = size.growing_streams[0]
    for sessions in size.growing_sessions:
        await remembered.grow(sessions)
        cost = await _streams(stage, streams, size.growing_tokens / streams, size.growing_window_s)
        stops = [await prober.stop_one() for _ in range(size.growing_session_stops)]
        rounds.append(
            SessionsRound(
                sessions=sessions,
                whole_us=cost.whole_us,
                sent=cost.sent,
                stops_us=[stop.took_us for stop in stops if stop.took_us is not None],
                used_bytes=await remembered.used_bytes(),
            )
        )
    prober.close()
    await remembered.close()
    return rounds
