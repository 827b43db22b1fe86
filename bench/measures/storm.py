"""The storm: a thousand stops at once; when the last upstream is closed."""

import contextlib
from typing import Final

import msgspec

from bench.contender import Contender
from bench.contenders import ANDON
from bench.failures import FAILURES
from bench.generator.remote import generator
from bench.measures.chosen import stoppers
from bench.model.door import ModelError
from bench.size import Size
from bench.stage import Stage

_FOR_EVER: Final = 1_000_000
_CLOSED_S: Final = 5.0
_IDLE_S: Final = 60.0
# Andon, and what a goal compares it with; of the others one round tells the order of things.
_EVERY_ROUND: Final = frozenset({ANDON.name, "sdk_objects"})


class StormRound(msgspec.Struct):
    """One storm: from the first stop's sending, in microseconds, until half and until all were closed.

    "All" are those that were closed at all; 0 and 0 where none was.
    """

    half_us: int
    last_us: int
    # Not closed some seconds later.
    missed: int


class Storm(msgspec.Struct):
    """By contender, its rounds."""

    streams: int
    rate: float
    rounds: dict[str, list[StormRound]]
    # By contender: why it has fewer rounds.
    failures: dict[str, str]


async def measure(stage: Stage, size: Size) -> Storm:
    """Let one storm after another go down on each in turn."""
    storm = Storm(*size.storm, {}, {})
    # Of those that lose stops, or can't take the load, one round says all there is to say, and takes seconds.
    lost: set[str] = set()
    for number in range(size.rounds):
        for contender in (ANDON, *stoppers(size)):
            is_due = number == 0 or contender.name in _EVERY_ROUND
            if is_due and contender.name not in lost and not await _round(stage, storm, contender):
                lost.add(contender.name)
    return storm


async def _round(stage: Stage, storm: Storm, contender: Contender) -> bool:
    """Do one; tell whether every upstream was closed."""
    missed = -1
    cast = await stage.cast(contender)
    try:
        async with generator(contender.name, cast.ports) as crowd:
            await crowd.open(storm.streams)
            await crowd.start(storm.rate, _FOR_EVER)
            sent = await crowd.stop()
            with contextlib.suppress(ModelError):  # the missing ones are counted
                await stage.model.closed(sent, _CLOSED_S)
            seen = await stage.model.seen(sent)
    except FAILURES as error:
        storm.failures[contender.name] = f"{error}"[:500]
        await stage.end(cast)
    else:
        first = min(sent.values())
        took = sorted(each.closed_us - first for each in seen.values() if each.closed_us is not None) or [0]
        missed = sum(each.closed_us is None for each in seen.values())
        rounds = storm.rounds.setdefault(contender.name, [])
        rounds.append(StormRound(half_us=took[len(took) // 2], last_us=took[-1], missed=missed))
        if missed:
            await stage.end(cast)  # and with it the upstreams that it left open
    await stage.model.idle(_IDLE_S)
    await stage.model.forget()
    return missed == 0
