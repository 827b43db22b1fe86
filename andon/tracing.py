"""Tracing: the spans of a response's life, without the library that exports them.

Owns the names of spans and attributes, the trace context as it travels (a W3C `traceparent`, as text), and the narrow
door through which spans are made. Does not own their export (`andon.exporting`, `andon.otel`).

A process has one tracing, as it has one form of log lines: its main chooses it (`used`). Where none was chosen nothing
is made: a context that came from a client is carried on as it came, to the job, the logs and the model server.

No span holds what was said to or by a model, a reason that a client gave, or a token.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final, NewType, Protocol, TypeAlias

import msgspec

# `traceparent`, and after a space the `tracestate` where there is one; empty: no trace.
TraceContext = NewType("TraceContext", str)
NO_TRACE: Final = TraceContext("")

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
# W3C Trace Context, level 2: later versions may add fields behind, which are read as this one.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[!-~]*)?"
)
# What a vendor must carry at least; a longer one is not carried.
TRACESTATE_MAX_CHARS: Final = 512
_TRACESTATE: Final = re.compile(rf"[ -~]{{1,{TRACESTATE_MAX_CHARS}}}")
# Sampled, and random: what is known of the flags.
FLAGS: Final = 0x03

Value: TypeAlias = str | int | float | bool | Sequence[str]


class SpanName(StrEnum):
    """Every span but the upstream's, which is called `chat` and its model."""

    CREATE = "create response"
    RUN = "run response"
    STOP = "stop response"
    OBEY = "obey stop"
    RESCUE = "rescue response"
    BROADCAST = "broadcast stop"
    CARRY_OUT = "carry out broadcast"


class Kind(StrEnum):
    """OpenTelemetry's span kinds, those that are used."""

    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"
    INTERNAL = "internal"


class Attribute(StrEnum):
    """Every attribute. `gen_ai.*`, `openai.*`, `server.*` and `error.type` mean what OpenTelemetry says."""

    RESPONSE_ID = "andon.response.id"
    RESPONSE_STATUS = "andon.response.status"
    TENANT = "andon.tenant"
    DOOR = "andon.door"
    OUTCOME = "andon.outcome"
    WORKER_ID = "andon.worker.id"
    GENERATION = "andon.generation"
    ATTEMPT = "andon.attempt"
    USAGE_SOURCE = "andon.usage.source"
    STOP_BY = "andon.stop.by"
    STOP_PATH = "andon.stop.path"
    STOP_RECORDED = "andon.stop.recorded_at"
    STOP_HEARD = "andon.stop.heard_at"
    STOP_CLOSED = "andon.stop.upstream_closed_at"
    STOP_SETTLED = "andon.stop.settled_at"
    STOP_TO_CLOSED = "andon.stop.recorded_to_closed_s"
    BROADCAST_ID = "andon.broadcast.id"
    BROADCAST_MATCHED = "andon.broadcast.matched"
    BROADCAST_RECORDED = "andon.broadcast.recorded"
    BROADCAST_SETTLED = "andon.broadcast.settled"
    ERROR_TYPE = "error.type"
    SERVER_ADDRESS = "server.address"
    SERVER_PORT = "server.port"
    GEN_AI_OPERATION = "gen_ai.operation.name"
    GEN_AI_PROVIDER = "gen_ai.provider.name"
    GEN_AI_CONVERSATION = "gen_ai.conversation.id"
    GEN_AI_MODEL = "gen_ai.request.model"
    GEN_AI_STREAM = "gen_ai.request.stream"
    GEN_AI_MAX_TOKENS = "gen_ai.request.max_tokens"
    GEN_AI_TEMPERATURE = "gen_ai.request.temperature"
    GEN_AI_TOP_P = "gen_ai.request.top_p"
    GEN_AI_RESPONSE_ID = "gen_ai.response.id"
    GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
    GEN_AI_FINISH_REASONS = "gen_ai.response.finish_reasons"
    GEN_AI_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
    GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
    GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
    GEN_AI_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
    GEN_AI_REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
    OPENAI_API = "openai.api.type"


Attributes: TypeAlias = Mapping[Attribute, Value | None]

# ── the context ──────────────────────────────────────────────────────────────────────────────────────────────────────


def context_of(members: Mapping[str, Any]) -> TraceContext:
    """Read `traceparent` and `tracestate`. What is no good is no context: nothing is refused for its trace."""
    parent, state = members.get(TRACEPARENT), members.get(TRACESTATE)
    match = _TRACEPARENT.fullmatch(parent.strip(" ")) if isinstance(parent, str) else None
    if match is None:
        return NO_TRACE
    trace_id, span_id, flags = match.groups()
    known = f"00-{trace_id}-{span_id}-{int(flags, 16) & FLAGS:02x}"
    has_state = isinstance(state, str) and _TRACESTATE.fullmatch(state) is not None
    return TraceContext(f"{known} {state}" if has_state else known)


def headers_of(context: TraceContext) -> dict[str, str]:
    """Write a context as headers; none where there is no trace."""
    parent, _, state = context.partition(" ")
    if not parent:
        return {}
    return {TRACEPARENT: parent, TRACESTATE: state} if state else {TRACEPARENT: parent}


def trace_fields(context: TraceContext) -> dict[str, str]:
    """Name a context in a log line: `trace` and `span`; nothing where there is no trace."""
    if not context:
        return {}
    _, trace_id, span_id, _ = context.partition(" ")[0].split("-")
    return {"trace": trace_id, "span": span_id}


# ── spans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Span(Protocol):
    """A span that was begun. Its methods never raise and never wait."""

    @property
    def context(self) -> TraceContext:
        """What its children are given, in this process and others."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Add attributes; None leaves one out."""
        ...

    def fail(self, error_type: str) -> None:
        """Say that what it stands for failed, and with what kind of error."""
        ...

    def end(self, at: float | None = None) -> None:
        """End it, once; `at`: Unix seconds, now if not given."""
        ...

    def active(self) -> AbstractContextManager[None]:
        """Be the span that `here` returns, within the block and in tasks that are started in it."""
        ...


class Beginning(msgspec.Struct, frozen=True):
    """What a span begins with. `parent` empty: a trace of its own. `at`: Unix seconds."""

    name: str
    kind: Kind
    parent: TraceContext
    attributes: Attributes
    links: tuple[TraceContext, ...]
    at: float


class Tracing(Protocol):
    """Where spans come from."""

    def start(self, beginning: Beginning) -> Span:
        """Begin a span."""
        ...


class _Carried:
    """No span: the context that came, as it came."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def set(self, attributes: Attributes) -> None:
        """Do nothing."""

    def fail(self, error_type: str) -> None:
        """Do nothing."""

    def end(self, at: float | None = None) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Be the one whose context is sent on."""
        with being_active(self):
            yield


class _NoTracing:
    """Makes no spans."""

    def start(self, beginning: Beginning) -> Span:
        """Carry the parent on."""
        return _Carried(beginning.parent) if beginning.parent else _NOTHING


_NOTHING: Final[Span] = _Carried(NO_TRACE)
_tracing: Tracing = _NoTracing()
_active: Final[ContextVar[Span]] = ContextVar("andon_span", default=_NOTHING)


@contextlib.contextmanager
def used(tracing: Tracing) -> Iterator[None]:
    """Make the spans of this process with `tracing`, within the block."""
    global _tracing  # noqa: PLW0603  one a process, like the form of its log lines
    before, _tracing = _tracing, tracing
    try:
        yield
    finally:
        _tracing = before


def makes_spans() -> bool:
    """Tell whether this process makes spans; where not, a context is carried on as it came."""
    return not isinstance(_tracing, _NoTracing)


@contextlib.contextmanager
def being_active(span: Span) -> Iterator[None]:
    """Have `here` return this span within the block. For the making of spans; others say `span.active()`."""
    token = _active.set(span)
    try:
        yield
    finally:
        _active.reset(token)


def here() -> Span:
    """Return the span of what is being done here: one that ignores everything where there is none."""
    return _active.get()


def outgoing() -> dict[str, str]:
    """Return the headers that a request which is made here takes with it."""
    return headers_of(_active.get().context)


def start(
    name: str,
    kind: Kind,
    parent: TraceContext,
    attributes: Attributes,
    *,
    links: Sequence[TraceContext] = (),
    began_at: float | None = None,
) -> Span:
    """Begin a span; `began_at`: Unix seconds, now if not given. Empty links are left out."""
    began = time.time() if began_at is None else began_at
    return _tracing.start(Beginning(name, kind, parent, attributes, tuple(filter(None, links)), began))
