"""Recorder: the spans of this very process, kept instead of exported, where a test needs no others."""

import contextlib
from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from andon import tracing
from andon.otel import Otel


class Recorder:
    """What has ended."""

    def __init__(self, kept: InMemorySpanExporter) -> None:
        self._kept = kept

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of this name, in the order of their ends."""
        return [span for span in self._kept.get_finished_spans() if span.name == name]


@contextlib.contextmanager
def recorded() -> Iterator[Recorder]:
    """Keep the spans of this process within the block."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    kept = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with tracing.used(Otel(provider)):
        yield Recorder(kept)
    provider.shutdown()


def ids_of(span: ReadableSpan) -> tuple[int, int]:
    """Name a span: trace and span id."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id
