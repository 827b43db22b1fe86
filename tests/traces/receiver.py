"""Receiver: a real OTLP receiver over HTTP, in the test process.

Owns what a collector would get: each request's bytes, and the spans in them. Runs in threads, bound to no event loop.
"""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.stack.waiting import wait_until

_SPANS_S = 30.0


class Received(msgspec.Struct, frozen=True):
    """One span as it was sent. Ids in hex; `parent` empty for a root; times in Unix seconds."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    links: tuple[tuple[str, str], ...]
    began_at: float
    ended_at: float
    is_error: bool
    attributes: dict[str, Any]
    # Of the process that sent it.
    resource: dict[str, Any]

    @property
    def service(self) -> str:
        """Name the service."""
        return str(self.resource["service.name"])


class Receiver:
    """Listens on a free port for as long as the context lasts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="otlp-receiver", daemon=True)

    @property
    def endpoint(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        message = ExportTraceServiceRequest.FromString(body)
        self.bodies.append(body)
        self.headers.append(dict(request.headers.items()))
        for resource_spans in message.resource_spans:
            resource = _attributes(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self.spans += [_span(span, resource) for span in scope_spans.spans]

    def of(self, response_id: str, name: str | None = None) -> list[Received]:
        """Return the spans about a response, of this name if it is given."""
        traces = {span.trace for span in self.spans if span.attributes.get("andon.response.id") == response_id}
        return [span for span in list(self.spans) if span.trace in traces and name in {None, span.name}]

    async def until(self, predicate: Callable[[], Any], what: str) -> None:
        """Wait until what has come fulfils this."""
        await wait_until(predicate, _SPANS_S, what=what)

    async def one(self, response_id: str, name: str) -> Received:
        """Wait for the one span of this name in the response's trace."""
        await self.until(lambda: self.of(response_id, name), f"a span {name!r} has come; came: {self._summary()}")
        (span,) = self.of(response_id, name)
        return span

    def _summary(self) -> str:
        return ", ".join(span.name for span in self.spans[-20:]) or "nothing"


def _span(span: ProtoSpan, resource: dict[str, Any]) -> Received:
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        began_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        is_error=span.status.code == 2,
        attributes=_attributes(span.attributes),
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in _typed(pairs)}


def _typed(pairs: Any) -> list[KeyValue]:
    return list(pairs)


def _value(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    assert which is not None
    if which == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, which)
