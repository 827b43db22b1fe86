"""Measure 3, its first half: from a request until its first token is there, over calling the model server directly."""

import asyncio
import secrets
from typing import Final

import msgspec

from bench.ask import Ask
from bench.contenders import ANDON
from bench.generator.direct import Direct
from bench.generator.stream import Stream
from bench.measures.chosen import every
from bench.size import Size
from bench.stage import Cast, Stage

DIRECT: Final = "direct"
_PATIENCE_S: Final = 30.0


class FirstToken(msgspec.Struct):
    """By contender, and `direct`: a list for each round, in microseconds."""

    first_us: dict[str, list[list[int]]]


async def measure(stage: Stage, size: Size) -> FirstToken:
    """Ask each in turn, one request at a time, on sockets that are open."""
    casts = [await stage.cast(contender) for contender in (ANDON, *every(size))]
    direct = await Direct.open(stage.model.upstream)
    streams = {cast.name: await _open(cast) for cast in casts}
    found = FirstToken({name: [] for name in (DIRECT, *streams)})
    await _ask_directly(direct)
    for stream in streams.values():
        await _ask(stream)  # cold
    for _ in range(size.rounds):
        for times in found.first_us.values():
            times.append([])
        for _ in range(size.first_tokens):
            found.first_us[DIRECT][-1].append(await _ask_directly(direct))
            for name, stream in streams.items():
                found.first_us[name][-1].append(await _ask(stream))
    direct.close()
    for stream in streams.values():
        stream.close()
    await stage.model.forget()
    return found


async def _ask_directly(direct: Direct) -> int:
    async with asyncio.timeout(_PATIENCE_S):
        await direct.ask(Ask(key=secrets.token_hex(8), rate=0, tokens=1))
    return direct.first_us - direct.asked_us


async def _ask(stream: Stream) -> int:
    stream.create(Ask(key=secrets.token_hex(8), rate=0, tokens=1))
    async with asyncio.timeout(_PATIENCE_S):
        await stream.first
        await stream.ended
    return stream.first_us - stream.asked_us


async def _open(cast: Cast) -> Stream:
    return await Stream.open(cast.contender, cast.ports[0], f"first-{secrets.token_hex(6)}")
