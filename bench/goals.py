"""Goals: what the project set out to reach, and whether a run reached it.

Owns the goals' numbers and how each is computed of the results. A row that was not measured says so; none is left out.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.measures import cost, stop
from bench.measures.cost import CostRound
from bench.measures.first_token import DIRECT
from bench.measures.stop import StopCase, case_name
from bench.report.figures import median_of_rounds, ms, percentile, pooled, ratio_of_rounds, times
from bench.results import Results
from bench.size import FULL

ANDON: Final = "andon"
FLOOR: Final = "floor"
ENDS: Final = "ends"
LEAN_ENDS: Final = "lean_ends"
SDK: Final = "sdk_objects"
# A stop's goals, of a load: p50 over S, p90 over S, p99 over S's p99.
_FEW, _MANY = (case_name(*load) for load in FULL.loads)
_FLAT: Final = 1.2


@dataclass(frozen=True, slots=True)
class Goal:
    """One row. `met` None: it was not measured."""

    measure: str
    goal: str
    reached: str
    met: bool | None


def goals(results: Results) -> list[Goal]:
    """Judge a run. A goal that was not measured is not met by that."""
    return [
        *_stops(results),
        _tokens_after(results),
        _storm(results),
        *_first_token(results),
        *_cost(results),
        _memory(results),
        *_growth(results),
    ]


def _row(measure: str, goal: str, most: float, value: float | None, write: Callable[[float], str] = times) -> Goal:
    if value is None:
        return Goal(measure, goal, "not measured", None)
    return Goal(measure, goal, write(value), value <= most)


def _at_least(measure: str, goal: str, least: float, value: float | None) -> Goal:
    if value is None:
        return Goal(measure, goal, "not measured", None)
    return Goal(measure, goal, f"{times(value)} x", value >= least)


def _case(results: Results, name: str) -> StopCase | None:
    return next((case for case in results.stop or () if case.name == name and case.failure is None), None)


def _over_floor(case: StopCase | None, figure: Callable[[Sequence[float]], float]) -> float | None:
    """Return a figure of Andon's over the floor's median, round by round: both met the same noise."""
    if case is None:
        return None
    pairs = zip(case.stops_us[ANDON], case.stops_us[FLOOR], strict=True)
    return statistics.median(figure(ours) / statistics.median(floor) for ours, floor in pairs if ours and floor)


def _stops(results: Results) -> Iterator[Goal]:
    idle, few, many = (_case(results, name) for name in (stop.IDLE, _FEW, _MANY))

    def over_s(value: float) -> str:
        return f"{value:.1f} S"

    yield _row("stop to upstream closed, p50, idle", "2 S", 2, _over_floor(idle, statistics.median), over_s)
    yield _row(f"the same at {_FEW} tokens/s, p50", "2.5 S", 2.5, _over_floor(few, statistics.median), over_s)
    yield _row("and p90", "5 S", 5, _over_floor(few, lambda stops: percentile(stops, 0.9)), over_s)
    yield _row(f"the same at {_MANY} tokens/s, p50", "3 S", 3, _over_floor(many, statistics.median), over_s)
    tail = None
    if many is not None:
        ours, floors = pooled(many.stops_us[ANDON]), pooled(many.stops_us[FLOOR])
        tail = percentile(ours, 0.99) / percentile(floors, 0.99)
    yield _row("and p99 over S's p99", "3", 3, tail)


def _tokens_after(results: Results) -> Goal:
    what, goal = "tokens generated after the stop, 50/s a stream, not saturated", "mean 0.05, max 1"
    cases = [_case(results, name) for name in (stop.IDLE, stop.ELSEWHERE, _FEW)]
    after = [
        count
        for case in cases
        if case is not None and (case.load is None or case.load.is_met)
        for count in case.tokens_after[ANDON]
    ]
    if not after:
        return Goal(what, goal, "not measured", None)
    mean, most = statistics.mean(after), max(after)
    return Goal(what, goal, f"mean {mean:.3f}, max {most} of {len(after)} stops", mean <= 0.05 and most <= 1)


def _storm(results: Results) -> Goal:
    value = None
    if results.storm is not None and SDK in results.storm.rounds and ANDON in results.storm.rounds:
        last = {name: statistics.median(each.last_us for each in results.storm.rounds[name]) for name in (SDK, ANDON)}
        value = last[SDK] / last[ANDON]
    what = "a storm of 1,000 stops at once: last upstream closed, sooner than SDK objects and cancel"
    return _at_least(what, "7 x", 7, value)


def _added_us(results: Results, name: str) -> float | None:
    first = results.first_token.first_us if results.first_token is not None else {}
    if name not in first:
        return None
    return median_of_rounds(first[name]) - median_of_rounds(first[DIRECT])


def _first_token(results: Results) -> Iterator[Goal]:
    added, naive = _added_us(results, ANDON), _added_us(results, "naive")
    yield _row("added time to first token over direct, idle", "2 ms", 2000, added, ms)
    share = added / naive if added is not None and naive is not None else None
    yield _row("and over the naive version's", "0.33", 1 / 3, share, lambda value: f"{value:.2f}")


def _rounds(results: Results, load: str, name: str) -> list[CostRound]:
    return results.cost.rounds.get(load, {}).get(name, []) if results.cost is not None else []


def whole_us(rounds: Sequence[CostRound]) -> float | None:
    """Return the median of what a token cost in CPU, in microseconds."""
    return statistics.median(each.whole_us for each in rounds) if rounds else None


def _over_ends(paced: Sequence[CostRound], ends: Sequence[CostRound]) -> float | None:
    if not paced or not ends:
        return None
    return ratio_of_rounds([[each.whole_us] for each in paced], [[each.whole_us] for each in ends])


def _cost(results: Results) -> Iterator[Goal]:
    paced = _rounds(results, cost.PACED, ANDON)
    load = FULL.paced[0] * FULL.paced[1]
    # The prototype that the goal was set by had its ends in Python; the row above says what that spares.
    for what, ends in (
        (f"CPU a token, whole path, {load:,.0f} tokens/s, over the two ends' own in C", ENDS),
        ("and over the two ends' own in Python", LEAN_ENDS),
    ):
        yield _row(what, "3", 3, _over_ends(paced, _rounds(results, cost.PACED, ends)))
    for name, title, least in (
        ("naive", "the naive version", 15),
        ("socketio", "python-socketio", 15),
        (SDK, "SDK objects", 5),
    ):
        ours, theirs = (whole_us(_rounds(results, cost.SATURATING, each)) for each in (ANDON, name))
        value = theirs / ours if ours and theirs else None
        yield _at_least(f"CPU a token, saturated, less than {title}", f"{least} x", least, value)
    sent = statistics.median(each.sent for each in paced) if paced else None
    what = f"Redis commands a token, {FULL.paced[0]} streams x {FULL.paced[1]:g}"
    yield _row(what, "0.5", 0.5, sent, lambda value: f"{value:.2f}")


def _memory(results: Results) -> Goal:
    rounds = results.sockets.rounds.get(ANDON) if results.sockets is not None else None
    kib = statistics.median(each.bytes_a_socket for each in rounds) / 1024 if rounds else None
    return _row("memory an idle socket", "20 KiB", 20, kib, lambda value: f"{value:.1f} KiB")


def _growth(results: Results) -> Iterator[Goal]:
    growth = results.growth
    flat = f"flat within {_FLAT - 1:.0%}"
    by_streams = growth.streams if growth is not None else []
    counts = sorted({each.streams for each in by_streams})
    span = f"{counts[0]:,} to {counts[-1]:,} streams" if counts else "100 to 2,000 streams"
    for what, values in (
        ("CPU a token", [(each.streams, each.whole_us) for each in by_streams]),
        ("Redis commands a token", [(each.streams, each.sent) for each in by_streams]),
    ):
        worst = _worst(values)
        yield _row(f"growth: {what}, {span}, at most over the fewest", flat, _FLAT, worst, lambda value: f"{value:.2f}")
    workers = growth.workers if growth is not None else []
    most = max((each.messages_a_stop for each in workers), default=None)
    span = f"{workers[0].workers} to {workers[-1].workers} workers" if workers else "1 to 8 workers"
    yield _row(f"growth: messages a stop, {span}", "1", 1, most, lambda value: f"{value:.2f}")


def _worst(values: Sequence[tuple[int, float]]) -> float | None:
    """Return the largest median over the median of the smallest number."""
    if not values:
        return None
    medians = {count: statistics.median(value for each, value in values if each == count) for count, _ in values}
    return max(medians.values()) / medians[min(medians)]
