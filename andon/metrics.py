"""Metrics: what gateways and workers both count, and how it is told to Prometheus.

Owns the registry of one process (none is global), the metrics that both sides have, and the text that a scrape gets.
The names are listed in docs/metrics.md. No label ever holds a session, a response or a principal.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from andon import __version__
from andon.database import Database
from andon.families import Counter, Family, Gauge, Histogram
from andon.pulse import Pulse
from andon.response import Status
from andon.telemetry import DrainStep, Rescued, StopEnd, StopPath, Telemetry

F = TypeVar("F", bound=Family)

# Up to the time-out of a command, and beyond it.
_TRIP_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Only a claimed run can be left to others.
_CLAIMED: Final = frozenset({StopPath.HINT, StopPath.APPEND, StopPath.BEAT, StopPath.SUBSCRIBE, StopPath.SWITCH})
_ENDINGS: Final = (Status.COMPLETED, Status.INCOMPLETE, Status.CANCELLED, Status.FAILED)
_STOPS: Final = tuple(
    (path, end)
    for path in StopPath
    for end in StopEnd
    if (end is StopEnd.SETTLED and path is not StopPath.SWITCH) or (end is StopEnd.LEFT and path in _CLAIMED)
)


class Metrics(Telemetry, Collector):
    """The metrics of one process; the sides add their own with `add`."""

    def __init__(self, role: str, database: Database) -> None:
        self._families: list[Family] = []
        self._role = role
        self._stops = self.add(
            Counter(
                "andon_stops_total",
                "Stops that took effect, by the path that carried them and how they ended",
                ("path", "outcome"),
                _STOPS,
            )
        )
        self._responses = self.add(
            Counter("andon_responses_total", "Endings written", ("status",), [(s,) for s in _ENDINGS])
        )
        self._tokens = self.add(
            Counter("andon_tokens_total", "Output tokens settled", ("source",), [("upstream",), ("estimated",)])
        )
        self._rescues = self.add(
            Counter("andon_rescues_total", "Jobs of dead workers", ("outcome",), [(r,) for r in Rescued])
        )
        self._drains = self.add(
            Counter("andon_drains_total", "Drains begun and how they ended", ("outcome",), [(s,) for s in DrainStep])
        )
        trips = self.add(
            Histogram("andon_redis_round_trip_seconds", "How long Redis took for one command in turn", _TRIP_S)
        )
        self.pulse = Pulse(database, on_round_trip=trips.observe)
        self.add(Gauge("andon_redis_connected", "1 while the link to Redis stands", lambda: database.connected))
        self.add(
            Gauge(
                "andon_redis_clock_ahead_seconds",
                "By how much Redis' clock is ahead of this machine's",
                lambda: self.pulse.clock_ahead_s,
            )
        )
        self.add(
            Gauge(
                "andon_queue_age_seconds",
                "How long the oldest job has waited for a worker; 0: none waits",
                lambda: self.pulse.queue_age_s,
            )
        )
        self._registry = CollectorRegistry(auto_describe=False)
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self._registry)
        self._registry.register(self)

    def add(self, family: F) -> F:
        """Take in a metric."""
        self._families.append(family)
        return family

    def collect(self) -> Iterator[Metric]:
        """Give every family of ours, as they stand."""
        info = GaugeMetricFamily("andon_build_info", "1; what runs", labels=("version", "role"))
        info.add_metric((__version__, self._role), 1)
        yield info
        for family in self._families:
            yield from family.collect()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the text for a scrape that accepts this, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    def stopped(self, path: StopPath, end: StopEnd) -> None:
        """Count it."""
        self._stops.add(path, end)

    def ended(self, status: Status) -> None:
        """Count it."""
        self._responses.add(status)

    def settled_tokens(self, source: str, output_tokens: int) -> None:
        """Count them."""
        self._tokens.add(source, by=output_tokens)

    def rescued(self, what: Rescued) -> None:
        """Count it."""
        self._rescues.add(what)

    def drain(self, step: DrainStep) -> None:
        """Count it."""
        self._drains.add(step)
