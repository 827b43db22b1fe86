"""Create trace: the span of one create, from the frame or the request to its place in Redis.

Owns what the span says. It continues the client's trace, and everything that is done for the response, by whatever
process, is below it: the job carries its context.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from andon import tracing
from andon.audit import Asker
from andon.errors import RequestError, RetryLaterError
from andon.replies import Submission, Submittal
from andon.tracing import Attribute, Kind, Span, SpanName, TraceContext


@contextlib.contextmanager
def creating(body: dict[str, Any], asker: Asker, trace: TraceContext) -> Iterator[Span]:
    """Be within a create. `trace`: the client's, continued. A refusal is told by `error.type`."""
    tenant = None if asker.principal is None else asker.principal.tenant
    span = tracing.start(
        SpanName.CREATE,
        Kind.SERVER,
        trace,
        {Attribute.DOOR: asker.door, Attribute.TENANT: tenant, Attribute.GEN_AI_MODEL: _model(body)},
    )
    try:
        yield span
    except RequestError as error:
        # The client's mistake is no failure of the server that says so.
        span.set({Attribute.ERROR_TYPE: error.code})
        raise
    except RetryLaterError as error:
        span.fail(error.code)
        raise
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end()


def tell_submitted(span: Span, new: Submission, submittal: Submittal) -> None:
    """Add what became of it; of a create that was known, the response that it made before."""
    span.set(
        {
            Attribute.RESPONSE_ID: submittal.response_id,
            Attribute.GEN_AI_CONVERSATION: new.session,
            Attribute.OUTCOME: submittal.tag,
        }
    )


def _model(body: dict[str, Any]) -> str | None:
    model = body.get("model")
    return model if isinstance(model, str) else None
