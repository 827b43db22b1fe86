"""Run trace: the spans of one run: the run itself, its call of the model, and the stop that it obeyed.

Owns what they say. The run's span is below the span that created the response, each claim's its own; the other two are
below the run's. The call's span lasts over all tries, from the first request until the upstream is closed, and is told
its usage at the ending: a stopped response is counted by then. Nothing here is done for a token.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

from andon import tracing
from andon.pieces import Failure, Finish
from andon.replies import Claimed
from andon.response import Ending
from andon.tracing import Attribute, Attributes, Kind, Span, SpanName, TraceContext
from worker.verdict import Loss, Stopped

_REQUEUED: Final = "requeued"
# OpenTelemetry's words for how a model ended; of another incomplete reason the upstream's own word.
_FINISH_REASONS: Final = {"max_output_tokens": "length"}


class ModelCall:
    """The span of a run's call of the model. Told by the pump what happens, by the run how it ended."""

    def __init__(self, parent: TraceContext) -> None:
        self._parent = parent
        self._span: Span | None = None
        self._began_at = 0.0
        # Unix seconds at which the upstream was left; None while it is not.
        self._left_at: float | None = None
        self._tries = 0

    @contextlib.contextmanager
    def made(self, request: dict[str, Any]) -> Iterator[None]:
        """Be within the call: requests carry its context, and so does what code of one's own asks for."""
        model = request.get("model")
        self._began_at = time.time()
        self._span = tracing.start(f"chat {model}", Kind.CLIENT, self._parent, _asked(request), began_at=self._began_at)
        try:
            with self._span.active():
                yield
        finally:
            self._left_at = time.time()

    def tried(self) -> None:
        """Take note that a request is sent."""
        self._tries += 1

    def answered(self) -> None:
        """Take note that the first event has come."""
        if self._span is not None:
            self._span.set({Attribute.GEN_AI_FIRST_CHUNK: time.time() - self._began_at})

    def end(self, ending: Ending | None, finish: Finish | None) -> None:
        """End the span where the upstream was left. `ending` None: it is not this run's to write."""
        if self._span is None:
            return
        self._span.set({Attribute.ATTEMPT: self._tries})
        if ending is not None:
            self._span.set(_cost(ending))
        if finish is not None:
            self._span.set(_finished(finish))
            if finish.failure is not None:
                self._span.fail(finish.failure.cause)
        self._span.end(self._left_at)
        self._span = None


class RunTrace:
    """The spans of one run. `end` it however the run ends."""

    def __init__(self, job: Claimed) -> None:
        self._common: Attributes = {
            Attribute.RESPONSE_ID: job.response_id,
            Attribute.GEN_AI_CONVERSATION: job.whose.session,
            Attribute.TENANT: job.whose.tenant,
        }
        about: Attributes = {Attribute.WORKER_ID: job.worker_id, Attribute.GENERATION: job.generation}
        self._span = tracing.start(SpanName.RUN, Kind.CONSUMER, job.whose.trace, {**self._common, **about})
        self.call = ModelCall(self._span.context)
        # Set when the mark is heard.
        self._obeying: Span | None = None

    @property
    def context(self) -> TraceContext:
        """What is below the run is given this."""
        return self._span.context

    def obeys(self, stopped: Stopped) -> None:
        """Take note of the mark, when it is heard first. To be called once."""
        about: Attributes = {
            Attribute.STOP_BY: stopped.stop.by,
            Attribute.STOP_PATH: stopped.path,
            Attribute.STOP_RECORDED: stopped.stop.requested_at,
            Attribute.STOP_HEARD: stopped.heard_at,
        }
        self._obeying = tracing.start(
            SpanName.OBEY, Kind.INTERNAL, self.context, {**self._common, **about}, began_at=stopped.heard_at
        )

    def settled(self, ending: Ending, finish: Finish | None) -> None:
        """Take note of the ending that was written."""
        self.call.end(ending, finish)
        self._span.set({Attribute.RESPONSE_STATUS: ending.status})
        if ending.failure is not None:
            self._span.fail(ending.failure.cause)
        if self._obeying is not None and ending.stop is not None:
            closed_at = ending.upstream_closed_at
            self._obeying.set(
                {
                    Attribute.STOP_CLOSED: closed_at,
                    Attribute.STOP_TO_CLOSED: None if closed_at is None else closed_at - ending.stop.requested_at,
                    Attribute.RESPONSE_STATUS: ending.status,
                }
            )

    def requeued(self) -> None:
        """Take note that another worker may have the job."""
        self._span.set({Attribute.OUTCOME: _REQUEUED})

    def abandoned(self, loss: Loss) -> None:
        """Take note that the ending is not this run's to write."""
        self._span.set({Attribute.OUTCOME: loss})
        self._span.fail(loss)

    def crashed(self, error_type: str) -> None:
        """Take note that the run ended by our bug, or with its process."""
        self._span.fail(error_type)

    def end(self) -> None:
        """End the spans. To be called once, when the upstream was left."""
        self.call.end(None, None)
        if self._obeying is not None:
            self._obeying.end()
        self._span.end()


def _asked(request: dict[str, Any]) -> Attributes:
    """Tell what is asked for, never what is said."""
    return {
        Attribute.GEN_AI_OPERATION: "chat",
        Attribute.GEN_AI_MODEL: request.get("model"),
        Attribute.GEN_AI_STREAM: True,
        Attribute.GEN_AI_MAX_TOKENS: _number(request.get("max_output_tokens")),
        Attribute.GEN_AI_TEMPERATURE: _number(request.get("temperature")),
        Attribute.GEN_AI_TOP_P: _number(request.get("top_p")),
    }


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) else None


def _cost(ending: Ending) -> Attributes:
    usage = ending.usage.to_wire()
    return {
        Attribute.GEN_AI_INPUT_TOKENS: usage["input_tokens"],
        Attribute.GEN_AI_OUTPUT_TOKENS: usage["output_tokens"],
        Attribute.GEN_AI_CACHED_TOKENS: usage["input_tokens_details"]["cached_tokens"],
        Attribute.GEN_AI_REASONING_TOKENS: usage["output_tokens_details"]["reasoning_tokens"],
        Attribute.USAGE_SOURCE: usage["source"],
    }


def _finished(finish: Finish) -> Attributes:
    model = finish.response.get("model")
    return {
        Attribute.GEN_AI_RESPONSE_MODEL: model if isinstance(model, str) else None,
        Attribute.GEN_AI_FINISH_REASONS: [_finish_reason(finish.status, finish.incomplete_reason, finish.failure)],
    }


def _finish_reason(status: str, incomplete_reason: str | None, failure: Failure | None) -> str:
    if failure is not None:
        return "error"
    if incomplete_reason is not None:
        return _FINISH_REASONS.get(incomplete_reason, incomplete_reason)
    return "stop" if status == "completed" else status
