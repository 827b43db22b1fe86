"""Broadcast trace: the spans of a broadcast stop.

A broadcast has a trace of its own: the ask, and its carrying out, on whatever gateway and after whatever deaths, for
the record holds the context. Each stop that it makes is a span in the trace of the response, and links here.
"""

import contextlib
from collections.abc import Iterator

import msgspec

from andon import tracing
from andon.audit import Asker
from andon.broadcasts import Advance, Broadcast, BroadcastId
from andon.tracing import NO_TRACE, Attribute, Kind, Span, SpanName


@contextlib.contextmanager
def asking(broadcast_id: BroadcastId, asker: Asker) -> Iterator[tuple[Span, Asker]]:
    """Be within the ask; give its span, and the asker whose stops link to it. It links to the operator's own trace."""
    span = tracing.start(
        SpanName.BROADCAST,
        Kind.SERVER,
        NO_TRACE,
        {
            Attribute.BROADCAST_ID: broadcast_id,
            Attribute.DOOR: asker.door,
            Attribute.STOP_BY: asker.by,
        },
        links=[asker.trace],
    )
    with _ended(span):
        yield span, msgspec.structs.replace(asker, trace=span.context or asker.trace)


@contextlib.contextmanager
def carrying_out(broadcast: Broadcast) -> Iterator[Span]:
    """Be within the carrying out, by one gateway."""
    about = {Attribute.BROADCAST_ID: broadcast.id, Attribute.STOP_BY: broadcast.asker.by}
    span = tracing.start(SpanName.CARRY_OUT, Kind.INTERNAL, broadcast.asker.trace, about)
    with _ended(span):
        yield span


@contextlib.contextmanager
def _ended(span: Span) -> Iterator[None]:
    """End the span with the block, as failed if that raises."""
    try:
        yield
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end()


def tell_advance(span: Span, advance: Advance) -> None:
    """Add how far it got."""
    span.set(
        {
            Attribute.BROADCAST_MATCHED: advance.matched,
            Attribute.BROADCAST_RECORDED: advance.recorded,
            Attribute.BROADCAST_SETTLED: advance.settled,
        }
    )
