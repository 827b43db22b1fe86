"""Otel: spans of OpenTelemetry's SDK. The only file that imports it; imported only where spans are exported.

Owns the provider with its batching thread, and the translation of contexts and spans. Does not own whether there is one
(`andon.exporting`), nor what is traced (`andon.tracing`).

Guarantees: the provider is not made global; ending a span only appends to a bounded queue, whose overflow is dropped;
a collector that is slow or away costs one warning a minute.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from andon import __version__
from andon.tracing import FLAGS, Attribute, Attributes, Beginning, Span, TraceContext, Value, being_active

_log = structlog.get_logger(__name__)

_WARN_EVERY_S: Final = 60.0
# They log each failed batch as an error, with a traceback; `_Exporter` tells it instead.
_LOUD: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")


def provider(service: str, instance: str) -> TracerProvider:
    """Make what spans come from and are exported by. Its `shutdown` blocks until it has sent what it can."""
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ours = {
        "service.name": service,
        "service.namespace": "andon",
        "service.instance.id": instance,
        "service.version": __version__,
    }
    # What the environment says (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) is above what we say.
    resource = Resource.create(ours).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(_Exporter(OTLPSpanExporter())))
    return made


class _Exporter(SpanExporter):
    """Exports, and tells of failures once in a while instead of at every batch. Called by the batching thread."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        # Spans lost since the last warning, and when that was (monotonic).
        self._lost = 0
        self._warned_at = -_WARN_EVERY_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; what fails is lost."""
        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001  the thread's outermost boundary
            self._tell(len(spans), type(error).__name__)
            return SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._tell(len(spans), "the collector was not to be reached, or refused")
        return result

    def _tell(self, count: int, why: str) -> None:
        self._lost += count
        if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
            _log.warning("traces.not_exported", lost=self._lost, why=why)
            self._warned_at, self._lost = time.monotonic(), 0

    def shutdown(self) -> None:
        """Send nothing more; ends an export that waits to try again."""
        self._inner.shutdown()


class Otel:
    """Spans of one provider. Meets `tracing.Tracing`."""

    def __init__(self, made_by: trace.TracerProvider) -> None:
        self._tracer = made_by.get_tracer("andon", __version__)

    def start(self, beginning: Beginning) -> Span:
        """Begin a span. See `tracing.Tracing`."""
        parent = beginning.parent
        span = self._tracer.start_span(
            beginning.name,
            # Never what happens to be present in the task: that may be of another response.
            context=trace.set_span_in_context(NonRecordingSpan(_read(parent)), Context()) if parent else Context(),
            kind=SpanKind[beginning.kind.name],
            attributes=_known(beginning.attributes),
            links=[Link(_read(link)) for link in beginning.links],
            start_time=_ns(beginning.at),
        )
        return _OtelSpan(span)


class _OtelSpan:
    """One span. Meets `tracing.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @functools.cached_property
    def context(self) -> TraceContext:
        """What its children are given."""
        return _written(self._span.get_span_context())

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._span.is_recording():
            self._span.set_attributes(_known(attributes))

    def fail(self, error_type: str) -> None:
        """Mark it as failed."""
        self.set({Attribute.ERROR_TYPE: error_type})
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, at: float | None = None) -> None:
        """End it."""
        self._span.end(None if at is None else _ns(at))

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Be the present span, to instrumented code of others as well."""
        with (
            being_active(self),
            trace.use_span(self._span, record_exception=False, set_status_on_exception=False),
        ):
            yield


def _known(attributes: Attributes) -> dict[str, Value]:
    return {name.value: value for name, value in attributes.items() if value is not None}


def _ns(at: float) -> int:
    return int(at * 1e9)


def _read(context: TraceContext) -> SpanContext:
    parent, _, state = context.partition(" ")
    _, trace_id, span_id, flags = parent.split("-")
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _written(span: SpanContext) -> TraceContext:
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & FLAGS:02x}"
    state = span.trace_state.to_header()
    return TraceContext(f"{parent} {state}" if state else parent)
