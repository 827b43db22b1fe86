from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from andon.families import Counter, Family, Gauge, Histogram
from tests.metrics.scrape import Scrape


class _Of(Collector):
    """Families as a registry wants them."""

    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        for family in self._families:
            yield from family.collect()


def scrape(*families: Family) -> Scrape:
    """Write families as text and read that again."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Of(*families))
    return Scrape(generate_latest(registry).decode())


def test_a_label_value_that_was_not_declared_is_an_error() -> None:
    """The sets are closed: a stranger's word can never become a series."""
    counter = Counter("a_total", "A", ("path",), [("hint",)])
    histogram = Histogram("b_seconds", "B", (1.0,), ("path",), [("hint",)])
    with pytest.raises(KeyError):
        counter.add("rumour")
    with pytest.raises(KeyError):
        counter.add()
    with pytest.raises(KeyError):
        histogram.observe(1.0, "rumour")


def test_every_series_is_there_from_the_start() -> None:
    """At zero: a rate over the first event is right."""
    found = scrape(
        Counter("a_total", "A", ("path",), [("hint",), ("beat",)]),
        Histogram("b_seconds", "B", (1.0,)),
        Counter("c_total", "C"),
    )
    assert found.labels_of("a_total") == {"path": {"hint", "beat"}}
    assert found.value("a_total") == found.value("b_seconds_count") == found.value("c_total") == 0
    assert not [name for name in found.samples if name.endswith("_created")]


def test_a_gauge_that_is_not_known_is_absent() -> None:
    """Neither zero nor an old number: an autoscaler that is told nothing does nothing."""
    assert "a" not in scrape(Gauge("a", "A", lambda: None)).samples
    assert scrape(Gauge("a", "A", lambda: 0.0)).value("a") == 0


@given(st.lists(st.floats(0, 30, allow_nan=False)))
def test_a_histogram_counts_what_is_at_most_each_bound(seconds: list[float]) -> None:
    """As Prometheus defines it: cumulative, the bound included."""
    bounds = (0.5, 1.0, 10.0)
    histogram = Histogram("b_seconds", "B", bounds)
    for each in seconds:
        histogram.observe(each)
    found = scrape(histogram)
    for bound in bounds:
        assert found.value("b_seconds_bucket", le=str(bound)) == sum(each <= bound for each in seconds)
    assert found.value("b_seconds_bucket", le="+Inf") == found.value("b_seconds_count") == len(seconds)
    assert found.value("b_seconds_sum") == pytest.approx(sum(seconds))
