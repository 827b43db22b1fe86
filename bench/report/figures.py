"""Figures: medians over rounds, ratios, percentiles, and how they are written."""

import statistics
from collections.abc import Callable, Iterable, Sequence


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def pooled(rounds: Sequence[Sequence[int]]) -> list[int]:
    """Return the values of all rounds."""
    return [value for each in rounds for value in each]


def median_of_rounds(rounds: Sequence[Sequence[float]]) -> float:
    """Return the median of the rounds' medians."""
    return statistics.median(statistics.median(each) for each in rounds if each)


def ratio_of_rounds(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    figure: Callable[[Sequence[float]], float] = statistics.median,
) -> float:
    """Return the median over rounds of how our figure of a round stands to theirs of the same round."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a and b]
    return statistics.median(figure(a) / figure(b) for a, b in pairs)


def ms(value_us: float) -> str:
    """Write microseconds as milliseconds."""
    return f"{value_us / 1000:.2f} ms" if value_us < 100_000 else f"{value_us / 1000:,.0f} ms"


def times(value: float) -> str:
    """Write a ratio."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown: the first column is words, the others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
