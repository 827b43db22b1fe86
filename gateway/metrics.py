"""Metrics of a gateway: what it counts beside what every process does.

Owns names, labels and meanings of the gateway's own metrics; docs/metrics.md lists them.
"""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from andon.database import Database
from andon.families import Counter, Gauge
from andon.metrics import Metrics
from andon.replies import StopOutcome

OTHER: Final = "other"
# Codes with which a well-formed create is refused; whatever is not here counts as `other`.
REFUSALS: Final = (
    "conversation_too_long",
    "deadline_too_long",
    "expired",
    "idempotency_conflict",
    "lane_full",
    "previous_response_not_found",
    "rate_limit_exceeded",
    "session_not_yours",
    "store_full",
    "store_unavailable",
    "too_many_input_bytes",
    "too_many_live_responses",
    "too_many_live_responses_of_tenant",
    "too_many_output_tokens",
    "websocket_stream_limit_reached",
    OTHER,
)
ACCEPTED: Final = "accepted"
UNRECORDED: Final = "unrecorded"


class GatewayMetrics(Metrics):
    """The metrics of one gateway. `sockets`, `subscribed`: asked at a scrape."""

    def __init__(self, database: Database, *, sockets: Callable[[], int], subscribed: Callable[[], bool]) -> None:
        super().__init__("gateway", database)
        self.add(Gauge("andon_sockets", "Open WebSockets and streams over HTTP", sockets))
        self.add(Gauge("andon_subscribed", "1 while every channel that is wanted is confirmed by Redis", subscribed))
        self._creates = self.add(
            Counter(
                "andon_creates_total",
                "Well-formed creates: accepted, or the code of their refusal",
                ("outcome",),
                [(ACCEPTED,), *((code,) for code in REFUSALS)],
            )
        )
        self._asked = self.add(
            Counter(
                "andon_stop_requests_total",
                "Stops that somebody asked for, a response each, by what they found",
                ("outcome",),
                [*((outcome,) for outcome in StopOutcome), (UNRECORDED,)],
            )
        )
        self._asserted = self.add(
            Counter("andon_stops_reasserted_total", "Stops sent again because they were not seen settled")
        )
        self._gaps = self.add(Counter("andon_pubsub_gaps_total", "Gaps in what was published, filled from the log"))
        self._slow = self.add(Counter("andon_slow_readers_total", "Connections closed with 3008"))

    async def scrape(self, request: Request) -> Response:
        """`GET /metrics`."""
        body, content_type = self.exposition(request.headers.get("accept", ""))
        # Said in full: the framework would add a charset of its own.
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────

    def create_accepted(self) -> None:
        """Count it."""
        self._creates.add(ACCEPTED)

    def create_refused(self, code: str) -> None:
        """Count it."""
        self._creates.add(code if self._creates.has(code) else OTHER)

    def stop_asked(self, outcome: StopOutcome | None) -> None:
        """Count it."""
        self._asked.add(UNRECORDED if outcome is None else outcome)

    def stop_asserted_again(self) -> None:
        """Count it."""
        self._asserted.add()

    def gap_found(self) -> None:
        """Count it."""
        self._gaps.add()

    def reader_too_slow(self) -> None:
        """Count it."""
        self._slow.add()
