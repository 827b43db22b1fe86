"""Tables: what a run found, in Markdown; the same for the terminal and the page."""

import statistics
from collections.abc import Iterator, Sequence

from bench.goals import Goal, goals, whole_us
from bench.measures import cost, stop
from bench.measures.cost import CostRound
from bench.measures.first_token import DIRECT
from bench.measures.load import BUSY
from bench.measures.stop import StopCase
from bench.report.figures import median_of_rounds, ms, percentile, pooled, ratio_of_rounds, table, times
from bench.results import Results

_WORDS = {True: "yes", False: "**no**", None: "-"}
_CASES = {stop.IDLE: "idle", stop.SILENT: "a silent upstream", stop.ELSEWHERE: "from a socket of another replica"}


def every(results: Results) -> Iterator[tuple[str, str]]:
    """Return the tables, each with its heading."""
    yield "To reach", to_reach(goals(results))
    if results.stop is not None:
        yield "Stop to upstream closed", stops(results, results.stop)
    if results.storm is not None:
        yield f"A storm of {results.storm.streams:,} stops at once", _storm(results)
    if results.first_token is not None:
        yield "Time to first token, added over calling the upstream directly", _first_tokens(results)
    if results.cost is not None:
        for load in (cost.PACED, cost.SATURATING):
            streams, rate = results.cost.loads[load]
            yield f"A token, {load}: {streams} streams x {rate:g} tokens/s", _costs(results, load)
    if results.sockets is not None:
        yield "Idle sockets", _sockets(results)
    if results.fan_out is not None:
        yield "One response to many sockets", _fan_out(results)
    if results.growth is not None:
        yield from _growth(results)
    yield "Was it the bench that was slow?", _bottlenecks(results)


def to_reach(rows: Sequence[Goal]) -> str:
    """Return the table of goals."""
    cells = ((row.measure, row.goal, row.reached, _WORDS[row.met]) for row in rows)
    return table(("measure", "goal", "reached", "met"), cells)


def stops(results: Results, cases: Sequence[StopCase]) -> str:
    """Return the table of stops: ratios to the floor first."""
    rows: list[tuple[str, ...]] = []
    for case in cases:
        if case.failure is not None:
            rows.append((f"{case.name}: failed: {case.failure[:160]}", *["-"] * 6))
            continue
        floor = case.stops_us["floor"]
        for name, rounds in case.stops_us.items():
            values = pooled(rounds)
            what = f"{case_title(case)}: {results.titles[name]}"
            if not values:
                rows.append((what, "-", "-", "-", "-", "-", str(case.missed[name])))
                continue
            figures = (ms(percentile(values, share)) for share in (0.5, 0.9, 0.99))
            after = statistics.mean(case.tokens_after[name])
            rows.append(
                (what, times(ratio_of_rounds(rounds, floor)), *figures, f"{after:.2f}", str(case.missed[name] or ""))
            )
    headings = ("", "p50 / floor", "p50", "p90", "p99", "tokens after", "not closed in 2 s")
    return table(headings, rows)


def case_title(case: StopCase) -> str:
    """Name a case for a reader."""
    if case.load is None:
        return _CASES[case.name]
    met = "" if case.load.is_met else f" (saturated: {case.load.delivered_a_second:,.0f} tokens/s came)"
    return f"{case.load.streams:,} streams x {case.load.rate:g}{met}"


def _storm(results: Results) -> str:
    storm = results.storm
    assert storm is not None
    ours = statistics.median(each.last_us for each in storm.rounds["andon"])
    rows: list[tuple[str, ...]] = []
    for name, rounds in storm.rounds.items():
        half, last, missed = (
            statistics.median(getattr(each, figure) for each in rounds) for figure in ("half_us", "last_us", "missed")
        )
        figures = (ms(half), ms(last)) if last else ("-", "-")
        rows.append((results.titles[name], f"{last / ours:.1f}" if last else "-", *figures, f"{missed:,.0f}"))
    rows += [(f"{results.titles[name]}: failed: {why[:80]}", *["-"] * 4) for name, why in storm.failures.items()]
    return table(("", "last / Andon's", "half closed", "last closed", "never closed"), rows)


def _first_tokens(results: Results) -> str:
    assert results.first_token is not None
    first = results.first_token.first_us
    direct = median_of_rounds(first[DIRECT])
    ours = median_of_rounds(first["andon"]) - direct
    rows = [
        (
            results.titles[name],
            f"{(median_of_rounds(rounds) - direct) / ours:.1f}",
            ms(median_of_rounds(rounds) - direct),
            ms(percentile(pooled(rounds), 0.99) - direct),
        )
        for name, rounds in first.items()
        if name != DIRECT
    ]
    itself = ("direct", "0", f"0 (itself {ms(direct)})", "")
    return table(("", "added / Andon's", "added, p50", "p99"), [itself, *rows])


def _median(rounds: Sequence[CostRound], name: str) -> float:
    values: list[float] = [getattr(each, name) for each in rounds]
    return statistics.median(values)


def _costs(results: Results, load: str) -> str:
    assert results.cost is not None
    by_name = results.cost.rounds.get(load, {})
    least = whole_us(by_name["ends"] if load == cost.PACED else by_name["andon"]) or 1.0
    rows: list[tuple[str, ...]] = []
    for name, rounds in by_name.items():
        whole = whole_us(rounds)
        if whole is None:
            continue
        roles = {role: statistics.median(each.cpu_us[role] for each in rounds) for role in rounds[0].cpu_us}
        rows.append(
            (
                results.titles[name],
                times(whole / least),
                f"{whole:.0f} us",
                ", ".join(f"{role} {value:.0f}" for role, value in roles.items())
                + f", Redis {_median(rounds, 'redis_us'):.0f}",
                f"{_median(rounds, 'tokens_a_second'):,.0f}",
                f"{1e6 / whole:,.0f}",
                f"{_median(rounds, 'sent'):.2f} + {_median(rounds, 'inner'):.2f}",
                f"{_median(rounds, 'bytes'):,.0f}",
                f"{ms(_median(rounds, 'age_p50_us'))} / {ms(_median(rounds, 'age_p99_us'))}",
            )
        )
    failures = results.cost.failures.get(load, {})
    rows += [(f"{results.titles[name]}: a round failed: {why[:80]}", *["-"] * 8) for name, why in failures.items()]
    if load == cost.PACED and results.cost.direct_ages_us:
        ages = results.cost.direct_ages_us
        age = f"{ms(statistics.median(p50 for p50, _ in ages))} / {ms(statistics.median(p99 for _, p99 in ages))}"
        rows.append(("the model server, read directly", *["-"] * 7, age))
    ratio = "CPU / the two ends' in C" if load == cost.PACED else "CPU / Andon's"
    headings = ("", ratio, "CPU a token", "of which, us", "tokens/s", "a second a core")
    return table((*headings, "Redis commands: sent + in scripts", "Redis bytes", "age p50 / p99"), rows)


def _sockets(results: Results) -> str:
    assert results.sockets is not None
    rows = [
        (
            f"{results.titles[name]} ({results.sockets.opened[name]:,} opened)",
            f"{statistics.median(each.bytes_a_socket for each in rounds) / 1024:.1f} KiB",
            f"{statistics.median(each.accepted_a_second for each in rounds):,.0f}",
        )
        for name, rounds in results.sockets.rounds.items()
    ]
    return table(("", "memory a socket", "accepted a second"), rows)


def _fan_out(results: Results) -> str:
    assert results.fan_out is not None
    rows = [
        (
            f"{results.titles[name]}, {sockets} sockets",
            f"{statistics.median(each.cpu_us for each in rounds):.0f} us",
            ms(statistics.median(each.age_p50_us for each in rounds)),
            ms(statistics.median(each.age_p99_us for each in rounds)),
        )
        for name, by_sockets in results.fan_out.rounds.items()
        for sockets, rounds in by_sockets.items()
    ]
    return table(("", "CPU a delivered token", "age p50", "age p99"), rows)


def _growth(results: Results) -> Iterator[tuple[str, str]]:
    growth = results.growth
    assert growth is not None
    counts = sorted({each.streams for each in growth.streams})
    first = None
    rows = []
    for count in counts:
        rounds = [each for each in growth.streams if each.streams == count]
        whole, sent = (statistics.median(getattr(each, name) for each in rounds) for name in ("whole_us", "sent"))
        first = first or (whole, sent)
        rate = statistics.median(each.tokens_a_second for each in rounds)
        cells = (f"{count:,} streams", f"{whole / first[0]:.2f}", f"{sent / first[1]:.2f}", f"{whole:.0f} us")
        rows.append((*cells, f"{sent:.2f}", f"{rate:,.0f}"))
    headings = ("", "CPU / the fewest", "commands / the fewest", "CPU a token", "commands a token", "tokens/s")
    yield "Growth: streams, the same tokens a second among more of them", table(headings, rows)
    workers = [
        (f"{each.workers} workers", f"{each.messages_a_stop:.2f}", ms(statistics.median(each.stops_us)))
        for each in growth.workers
    ]
    yield "Growth: workers", table(("", "messages a stop", "stop p50"), workers)
    sessions = [
        (
            f"{each.sessions:,} ended sessions",
            f"{each.whole_us:.0f} us",
            f"{each.sent:.2f}",
            ms(statistics.median(each.stops_us)),
            f"{each.used_bytes / 2**20:,.0f} MiB",
        )
        for each in growth.sessions
    ]
    remembered = ("", "CPU a token", "commands a token", "stop p50", "Redis' memory")
    yield "Growth: sessions in Redis", table(remembered, sessions)


def _bottlenecks(results: Results) -> str:
    """Tell how busy the load generator and the model server were: above 0.8 of a core they may be what was slow."""
    rows = [
        (f"stops, {case_title(case)}", case.load.generator, case.load.model)
        for case in results.stop or ()
        if case.load is not None
    ]
    if results.cost is not None:
        for load, by_name in results.cost.rounds.items():
            for name, rounds in by_name.items():
                if rounds:
                    shares = (_median(rounds, "generator"), _median(rounds, "model"))
                    rows.append((f"a token, {load}: {results.titles[name]}", *shares))
    cells = (
        (what, f"{generator:.2f}", f"{model:.2f}", "**yes**" if max(generator, model) > BUSY else "no")
        for what, generator, model in rows
    )
    return table(("", "load generator, of a core", "model server", "the bottleneck?"), cells)
