"""Measures 1 and 2: from a stop until the upstream is closed, and the tokens generated meanwhile.

Each case stops one stream after another, of each contender in turn, so that noise hits all alike. Under a load, the
load is Andon's, and the floor is measured beside it: on the same two cores, through the same Redis and model server.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from bench.contender import Contender
from bench.contenders import ANDON, FLOOR
from bench.failures import FAILURES
from bench.measures.chosen import stoppers
from bench.measures.load import LoadLook, loaded
from bench.measures.prober import Prober, Stopped
from bench.size import Size
from bench.stage import Cast, Stage

IDLE: Final = "idle"
SILENT: Final = "silent"
ELSEWHERE: Final = "elsewhere"
_ENOUGH_MISSED: Final = 2
_IDLE_S: Final = 60.0


class StopCase(msgspec.Struct):
    """One case."""

    name: str
    # By contender, a list for each round, in microseconds.
    stops_us: dict[str, list[list[int]]]
    # By contender, of each stop.
    tokens_after: dict[str, list[int]]
    # By contender, the stops that the model server saw nothing of within 2 s.
    missed: dict[str, int]
    load: LoadLook | None = None
    # Why it could not be measured.
    failure: str | None = None


def case_name(streams: int, rate: float) -> str:
    """Return the name of the case with this load."""
    return f"{streams:,} x {rate:g}"


async def measure(stage: Stage, size: Size) -> list[StopCase]:
    """Do all cases."""
    peers = stoppers(size)
    rounds = size.rounds
    cases = [
        await _case(stage, IDLE, [ANDON, FLOOR, *peers], (rounds, size.stops_idle), Prober.stop_one),
        await _case(stage, SILENT, [ANDON, FLOOR, *peers], (rounds, size.stops_silent), _silent),
    ]
    if size.stops_elsewhere:
        cases.append(await _case(stage, ELSEWHERE, [ANDON, FLOOR], (rounds, size.stops_elsewhere), _elsewhere))
    for load in size.loads:
        try:
            cases.append(await _under(stage, load, size))
        except FAILURES as error:  # a load that is too much leaves the others
            cases.append(StopCase(case_name(*load), {}, {}, {}, failure=f"{error}"[:500]))
            await stage.clear()
            await stage.model.idle(_IDLE_S)
    return cases


async def _silent(prober: Prober) -> Stopped:
    return await prober.stop_one(silent=True)


async def _elsewhere(prober: Prober) -> Stopped:
    return await prober.stop_one(elsewhere=True)


async def _under(stage: Stage, load: tuple[int, float], size: Size) -> StopCase:
    streams, rate = load
    andon = await stage.cast(ANDON)
    async with loaded(stage, andon, streams, rate) as running:
        await running.begin()
        counts = (size.rounds, size.stops_loaded)
        case = await _case(stage, case_name(streams, rate), [ANDON, FLOOR], counts, Prober.stop_one)
        case.load = await running.look()
    return case


async def _case(
    stage: Stage,
    name: str,
    contenders: Sequence[Contender],
    counts: tuple[int, int],
    stop: Callable[[Prober], Awaitable[Stopped]],
) -> StopCase:
    """Stop with each contender in turn; `counts`: rounds, and stops in each."""
    rounds, stops = counts
    probers = [Prober(await _cast(stage, contender, name), stage.model) for contender in contenders]
    case = StopCase(name, {}, {}, {})
    for prober in probers:
        await stop(prober)  # cold
        case.stops_us[prober.cast.name] = []
        case.tokens_after[prober.cast.name] = []
        case.missed[prober.cast.name] = 0
    for _ in range(rounds):
        for prober in probers:
            case.stops_us[prober.cast.name].append([])
        for _ in range(stops):
            for prober in probers:
                # Whoever misses some misses all of the kind, and each takes seconds.
                if case.missed[prober.cast.name] < _ENOUGH_MISSED:
                    _note(case, prober.cast.name, await stop(prober))
    for prober in probers:
        prober.close()
        if case.missed[prober.cast.name]:
            await stage.end(prober.cast)  # and with it the upstreams that it left open
    return case


async def _cast(stage: Stage, contender: Contender, case: str) -> Cast:
    """Return it with two gateways where a stop comes from another; the floor has two at all times."""
    return await stage.cast(contender, gateways=2 if contender is FLOOR or case == ELSEWHERE else 1)


def _note(case: StopCase, contender: str, stopped: Stopped) -> None:
    if stopped.took_us is None:
        case.missed[contender] += 1
    else:
        case.stops_us[contender][-1].append(stopped.took_us)
        case.tokens_after[contender].append(stopped.tokens_after)
