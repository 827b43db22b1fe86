"""Measure 5: memory of an idle socket, and sockets accepted a second. Processes of its own, new for each round."""

from typing import Final

import msgspec

from bench.contender import Contender, Role
from bench.contenders import ANDON
from bench.generator.remote import generator
from bench.measures.chosen import movers
from bench.process import resident_bytes
from bench.size import Size
from bench.stage import Cast, Stage

_WARM: Final = 50


class SocketsRound(msgspec.Struct):
    """One look."""

    # Of the processes that hold the sockets.
    bytes_a_socket: float
    accepted_a_second: float


class Sockets(msgspec.Struct):
    """By contender, its rounds."""

    rounds: dict[str, list[SocketsRound]]
    # By contender, how many were opened.
    opened: dict[str, int]


async def measure(stage: Stage, size: Size) -> Sockets:
    """Open many sockets on each in turn, and drop them."""
    found = Sockets({}, {})
    for _ in range(size.rounds):
        for contender in (ANDON, *movers(size)):
            count = size.sockets if contender is ANDON else size.sockets_of_peers
            found.opened[contender.name] = count
            found.rounds.setdefault(contender.name, []).append(await _round(stage, contender, count))
    return found


async def _round(stage: Stage, contender: Contender, count: int) -> SocketsRound:
    cast = await stage.fresh(contender)
    try:
        async with generator(contender.name, cast.ports) as crowd:
            await crowd.open(min(_WARM, count))  # what the first sockets load stays out of it
            before = _resident(cast)
            seconds = await crowd.open(count)
            grown = _resident(cast) - before
    finally:
        await stage.end(cast)
    return SocketsRound(bytes_a_socket=grown / count, accepted_a_second=count / seconds)


def _resident(cast: Cast) -> int:
    holders = cast.processes.get(Role.GATEWAY) or cast.processes[Role.BOTH]
    return sum(resident_bytes(process.pid) for process in holders)
