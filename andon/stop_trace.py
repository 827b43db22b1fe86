"""Stop trace: the span and the log line of a stop that was recorded.

Owns what they say. The span is part of the trace of the response that was stopped, whoever asked and on whatever
replica, and links to the trace of the ask. Why it was asked for is in neither: a reason is the client's own text.
"""

import structlog

from andon import tracing
from andon.audit import Asker
from andon.logs import about
from andon.replies import StopOutcome, StopReceipt
from andon.telemetry import StopPath
from andon.tracing import Attribute, Kind, SpanName, trace_fields

_log = structlog.get_logger(__name__)


def trace_stop(receipt: StopReceipt, asker: Asker, *, began_at: float) -> None:
    """Tell of a stop, if it was recorded: of any other, nothing is known of the response. `began_at`: Unix seconds."""
    if receipt.outcome is not StopOutcome.RECORDED or receipt.whose is None:
        return
    whose = receipt.whose
    span = tracing.start(
        SpanName.STOP,
        Kind.INTERNAL,
        whose.trace,
        {
            Attribute.RESPONSE_ID: receipt.response_id,
            Attribute.GEN_AI_CONVERSATION: whose.session,
            Attribute.TENANT: whose.tenant,
            Attribute.DOOR: asker.door,
            Attribute.STOP_BY: asker.by,
            Attribute.STOP_RECORDED: receipt.recorded,
            # Where nobody had claimed it, the stop itself ended it.
            Attribute.STOP_SETTLED: receipt.settled,
            Attribute.STOP_PATH: None if receipt.settled is None else StopPath.UNCLAIMED,
        },
        links=[asker.trace],
        began_at=began_at,
    )
    span.end()
    fields = {**about(receipt.response_id, whose), **trace_fields(span.context)}
    _log.info("stop.recorded", **fields, by=asker.by, door=asker.door)
