"""Plots: which of a run's figures are drawn, and how each is called."""

import statistics
from collections.abc import Iterator, Sequence

from bench.goals import whole_us
from bench.measures import cost
from bench.measures.cost import CostRound
from bench.report.figures import ms, percentile, pooled, times
from bench.report.svg import Row, bars, dots
from bench.report.tables import case_title
from bench.results import Results


def plots(results: Results) -> Iterator[tuple[str, str, str]]:
    """Return the plots: file name, what it shows, SVG."""
    if results.stop is not None:
        yield "stop.svg", "From a stop to the upstream's close", _stops(results)
    if results.cost is not None:
        title = "CPU of a token, against the two ends alone"
        yield "token.svg", title, _costs(results, cost.PACED, title)
        title = "CPU of a token where each does as much as it can"
        yield "peers.svg", title, _costs(results, cost.SATURATING, title)
    if results.storm is not None:
        yield "storm.svg", "Many stops at once", _storm(results)
    if results.growth is not None:
        yield "growth.svg", "What growth costs", _growth(results)


def _stops(results: Results) -> str:
    rows = []
    for case in results.stop or ():
        for name in case.stops_us:
            values = pooled(case.stops_us[name])
            if values:
                figures = [percentile(values, share) / 1000 for share in (0.5, 0.9, 0.99)]
                rows.append(Row(f"{case_title(case)}: {results.titles[name]}"[:42], figures, ms(figures[0] * 1000)))
    return dots("From a stop to the upstream's close", "ms", ("p50", "p90", "p99"), rows)


def _costs(results: Results, load: str, title: str) -> str:
    assert results.cost is not None
    by_name = {name: rounds for name, rounds in results.cost.rounds.get(load, {}).items() if rounds}
    keys = ("gateway, or all in one", "Redis", "worker")
    rows = [
        Row(
            results.titles[name],
            (_role(rounds, "gateway") + _role(rounds, "both"), _redis(rounds), _role(rounds, "worker")),
            f"{whole_us(rounds):.0f} us",
        )
        for name, rounds in by_name.items()
    ]
    return bars(title, "microseconds", keys, rows)


def _role(rounds: Sequence[CostRound], role: str) -> float:
    return statistics.median(each.cpu_us.get(role, 0.0) for each in rounds)


def _redis(rounds: Sequence[CostRound]) -> float:
    return statistics.median(each.redis_us for each in rounds)


def _storm(results: Results) -> str:
    assert results.storm is not None
    storm = results.storm
    rows = []
    for name, rounds in storm.rounds.items():
        last = statistics.median(each.last_us for each in rounds)
        missed = statistics.median(each.missed for each in rounds)
        note = " and ".join([ms(last)] * bool(last) + [f"{missed:,.0f} never closed"] * bool(missed))
        rows.append(Row(results.titles[name], (last / 1000,), note))
    return bars(f"{storm.streams:,} stops at once: until the last upstream was closed", "ms", (), rows)


def _growth(results: Results) -> str:
    assert results.growth is not None
    rows, first = [], None
    for count in sorted({each.streams for each in results.growth.streams}):
        whole = statistics.median(each.whole_us for each in results.growth.streams if each.streams == count)
        first = first or whole
        rows.append(Row(f"{count:,} streams", (whole,), f"{whole:.0f} us, {times(whole / first)} x"))
    rows += [
        Row(f"{each.sessions:,} ended sessions", (each.whole_us,), f"{each.whole_us:.0f} us")
        for each in results.growth.sessions
    ]
    return bars("CPU of a token as streams, and what Redis remembers, grow", "microseconds", (), rows)
