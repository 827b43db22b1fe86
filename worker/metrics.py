"""Metrics of a worker: what it counts beside what every process does.

Owns names, labels and meanings of the worker's own metrics; docs/metrics.md lists them.
"""

import asyncio
from typing import Final

from andon.database import Database
from andon.families import Counter, Gauge, Histogram
from andon.metrics import Metrics
from andon.pieces import Cause
from andon.settings import Settings
from andon.telemetry import Renewal, StopPath
from andon.usage import count_tokens

# From what a local hint takes to what nobody should wait for.
_CLOSED_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FIRST_TEXT_S: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
# By which a mark reaches a run that has an upstream.
_CLOSING: Final = (StopPath.HINT, StopPath.APPEND, StopPath.BEAT, StopPath.SUBSCRIBE)


class WorkerMetrics(Metrics):
    """The metrics of one worker process, whatever ids it lives under."""

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__("worker", database)
        self._lease_s = settings.lease_s
        self._live = 0
        # Loop time of the last renewal that was answered.
        self._renewed_at: float | None = None
        self.add(Gauge("andon_live_streams", "Runs of this process, each with its upstream stream", lambda: self._live))
        self.add(Gauge("andon_stream_capacity", "ANDON_WORKER_CONCURRENCY", lambda: settings.worker_concurrency))
        self._renewals = self.add(
            Counter("andon_lease_renewals_total", "Renewals of the lease", ("outcome",), [(r,) for r in Renewal])
        )
        self._closed = self.add(
            Histogram(
                "andon_stop_to_closed_seconds",
                "From the recorded stop to the closed upstream",
                _CLOSED_S,
                ("path",),
                [(path,) for path in _CLOSING],
            )
        )
        self._thrown_away = self.add(
            Counter("andon_tokens_after_stop_total", "Output tokens that a stop kept out of the log")
        )
        self._first_text = self.add(
            Histogram("andon_first_text_seconds", "From the claim to the model's first text", _FIRST_TEXT_S)
        )
        self._failures = self.add(
            Counter(
                "andon_upstream_errors_total",
                "Requests to the model that failed, tried again or not",
                ("cause",),
                [(cause,) for cause in Cause],
            )
        )

    def is_well(self) -> bool:
        """Tell whether the lease stands, as far as this process knows."""
        return self._renewed_at is not None and asyncio.get_running_loop().time() - self._renewed_at < self._lease_s

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    def run_begun(self) -> None:
        """Count it in."""
        self._live += 1

    def run_over(self) -> None:
        """Count it out."""
        self._live -= 1

    def lease(self, renewal: Renewal) -> None:
        """Count it."""
        self._renewals.add(renewal)
        if renewal is Renewal.RENEWED:
            self._renewed_at = asyncio.get_running_loop().time()
        elif renewal is Renewal.REFUSED:
            self._renewed_at = None

    def first_text(self, after_s: float) -> None:
        """Count it."""
        self._first_text.observe(after_s)

    def upstream_failed(self, cause: Cause) -> None:
        """Count it."""
        self._failures.add(cause)

    def upstream_closed(self, path: StopPath, *, requested_at: float, closed_at: float) -> None:
        """Count it, on Redis' clock: two machines' clocks may differ by more than a stop takes."""
        ahead_s = self.pulse.clock_ahead_s
        self._closed.observe(max(0.0, closed_at + (ahead_s or 0.0) - requested_at), path)

    def threw_away(self, text: str) -> None:
        """Count its tokens, as the settlement counts them where the model server tells nothing."""
        self._thrown_away.add(by=count_tokens(text))
