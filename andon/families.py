"""Families: counters, gauges and histograms as plain numbers, made into Prometheus' terms when somebody asks.

Owns the counting and the closed sets of label values: what is not in a set is an error of the program, and every series
is there from the start, at zero, so that a rate has something to rise from. Does not own names. One event loop counts
and is asked, so nothing is locked: to count is to add to a number in a dict.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

Labels: TypeAlias = tuple[str, ...]


class Counter:
    """Counts, by closed sets of label values. `name` ends in `_total`."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...] = (), series: Iterable[Labels] = ((),)) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._counts: dict[Labels, float] = {tuple(map(str, values)): 0 for values in series}

    def add(self, *values: str, by: float = 1) -> None:
        """Count. Raises KeyError for label values that the metric does not have."""
        self._counts[values] += by

    def has(self, *values: str) -> bool:
        """Tell whether the metric has these label values."""
        return values in self._counts

    def collect(self) -> Iterator[Metric]:
        """Give the family."""
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        yield family


class Gauge:
    """A number that is read when somebody asks; None: it is not known, and the series is absent."""

    def __init__(self, name: str, meaning: str, read: Callable[[], float | None]) -> None:
        self._name = name
        self._meaning = meaning
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Give the family."""
        family = GaugeMetricFamily(self._name, self._meaning)
        value = self._read()
        if value is not None:
            family.add_metric((), value)
        yield family


class Histogram:
    """Seconds, by closed sets of label values."""

    def __init__(
        self,
        name: str,
        meaning: str,
        bounds_s: tuple[float, ...],
        labels: tuple[str, ...] = (),
        series: Iterable[Labels] = ((),),
    ) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._bounds_s = bounds_s
        # For each series how many fell between two bounds, the last: beyond them all; and the sum of the seconds.
        self._counts: dict[Labels, list[int]] = {
            tuple(map(str, values)): [0] * (len(bounds_s) + 1) for values in series
        }
        self._sums: dict[Labels, float] = dict.fromkeys(self._counts, 0.0)

    def observe(self, seconds: float, *values: str) -> None:
        """Count one. Raises KeyError for label values that the metric does not have."""
        self._counts[values][bisect_left(self._bounds_s, seconds)] += 1
        self._sums[values] += seconds

    def collect(self) -> Iterator[Metric]:
        """Give the family."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        bounds = [*map(floatToGoString, self._bounds_s), "+Inf"]
        for values, counts in self._counts.items():
            family.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), self._sums[values])
        yield family


Family: TypeAlias = Counter | Gauge | Histogram
