"""Tracing: the trace context as clients send it, and what becomes of it where nothing is exported."""

import pytest

from andon import tracing
from andon.tracing import NO_TRACE, Kind, SpanName, context_of, headers_of, here, outgoing, trace_fields

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (PARENT, PARENT),
        (f" {PARENT} ", PARENT),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        # The random flag is kept, what is not known is not.
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
        # A later version, with what that adds: read as this one.
        (f"cc-{TRACE}-{SPAN}-01-more", PARENT),
    ],
)
def test_a_traceparent_is_read(given: str, read: str) -> None:
    """As W3C Trace Context has it."""
    assert context_of({"traceparent": given}) == read


@pytest.mark.parametrize(
    "given",
    [
        None,
        7,
        "",
        "00",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"{PARENT}\nx: y",
        f"00-{TRACE}-{SPAN}-01-\r\n",
    ],
)
def test_what_is_no_traceparent_is_no_context(given: object) -> None:
    """Nothing is refused for it, and nothing of it gets into a header."""
    assert context_of({"traceparent": given}) == NO_TRACE


@pytest.mark.parametrize(("given", "kept"), [("a=1,b=2", True), ("a=1\r\nx: y", False), ("a" * 513, False), (7, False)])
def test_a_tracestate_is_carried_if_it_may_be_a_header(given: object, kept: bool) -> None:
    """Beside its traceparent."""
    headers = headers_of(context_of({"traceparent": PARENT, "tracestate": given}))
    assert headers == ({"traceparent": PARENT, "tracestate": given} if kept else {"traceparent": PARENT})


def test_a_log_line_names_trace_and_span() -> None:
    """Or neither."""
    assert trace_fields(context_of({"traceparent": PARENT})) == {"trace": TRACE, "span": SPAN}
    assert trace_fields(NO_TRACE) == {}


def test_where_nothing_is_exported_the_clients_context_is_carried_on() -> None:
    """To the job, and in the headers of what is asked for within; nothing else is done."""
    span = tracing.start(SpanName.CREATE, Kind.SERVER, context_of({"traceparent": PARENT}), {})
    below = tracing.start(SpanName.RUN, Kind.CONSUMER, span.context, {})
    with below.active():
        assert outgoing() == {"traceparent": PARENT}
        here().set({})
        here().fail("error")
    below.end()
    assert outgoing() == {}
    assert tracing.start(SpanName.CREATE, Kind.SERVER, NO_TRACE, {}).context == NO_TRACE
