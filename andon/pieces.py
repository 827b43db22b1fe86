"""Pieces: what an upstream yields, before a sequence number makes it an event.

Owns the vocabulary between an upstream adapter (`worker.upstream`), the worker's scribe and the fold that
rebuilds output items from a log (`andon.output`). Does not own numbering, ids of responses, or the wire.

A stream of pieces is zero or more `Delta` and `Event`, then at most one `Finish`. A stream that ends without a
`Finish` was cut; the worker treats that as an upstream failure, never as a completion.
"""

from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec


class Delta(msgspec.Struct, frozen=True, gc=False):
    """A piece of growing text that may be merged with the next one of the same part.

    `type` is the wire's event type (`response.output_text.delta`, ...). `part` is the name and value of the
    index within the item: (`content_index`, 0), (`summary_index`, 1), or None for items without parts
    (function call arguments).
    """

    type: str
    item_id: str
    output_index: int
    part: tuple[Literal["content_index", "summary_index"], int] | None
    text: str


class Event(msgspec.Struct, frozen=True):
    """Any other Responses event, as the wire has it, without `type`, `sequence_number` and `response_id`."""

    type: str
    body: dict[str, Any]


class Cause(StrEnum):
    """The precise cause of a failed response: `response.error.type` on the wire."""

    UPSTREAM_UNREACHABLE = "upstream_unreachable"  # refused connection, DNS failure, TLS failure
    UPSTREAM_TIMEOUT = "upstream_timeout"  # no byte within the gap allowed
    UPSTREAM_REJECTED = "upstream_rejected"  # 400, 404, 413, 422: the request will not do
    UPSTREAM_UNAUTHORIZED = "upstream_unauthorized"  # 401, 403: our key will not do
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"  # 429 after the retries
    UPSTREAM_ERROR = "upstream_error"  # 5xx after the retries, or an error event in the stream
    UPSTREAM_GARBAGE = "upstream_garbage"  # bytes that are no Responses or Chat stream
    UPSTREAM_CUT = "upstream_cut"  # the stream ended, or broke, without a finish
    SOURCE_FAILED = "source_failed"  # a source of your own raised an exception; the message names its class
    SOURCE_GARBAGE = "source_garbage"  # a source of your own yielded what is neither text nor a Responses event
    UNSUPPORTED_PARAMETER = "unsupported_parameter"  # a field this upstream cannot be asked for
    PREVIOUS_RESPONSE_NOT_FOUND = "previous_response_not_found"  # a turn expired between the create and the claim
    OUTPUT_TOO_FAST = "output_too_fast"  # the worker's bounded buffer was full: Redis slow or away
    WORKER_LOST = "worker_lost"  # the worker died after output, or too often
    QUEUE_TIMEOUT = "queue_timeout"  # no worker took the response within `ANDON_QUEUE_TTL_S`
    RUN_TIMEOUT = "run_timeout"  # it ran longer than `ANDON_MAX_RUN_S`
    DEADLINE_EXCEEDED = "deadline_exceeded"  # its `deadline_s`, or `ANDON_DEADLINE_S`, was over before it had ended
    SHUTDOWN = "shutdown"  # the worker drained, and `ANDON_DRAIN_ENDING` is `failed`
    INTERNAL = "internal_error"  # our bug, in the worker


class Failure(msgspec.Struct, frozen=True):
    """Why a response failed, as `response.error` tells it.

    `code` is one of the literals of the SDK's `ResponseError.code`; `cause` goes out as `type`; `message` says
    what to do about it and never holds a secret.
    """

    code: str
    cause: Cause
    message: str
    param: str | None = None


class Finish(msgspec.Struct, frozen=True):
    """The upstream's own ending.

    `response` holds what the upstream's final Response says beyond our own fields (`model`, `service_tier`, ...; its
    whole `output` too, where it told that), possibly empty. `usage` is in OpenAI's Responses shape, complete with its
    details, or None where the upstream did not tell. `failure` is set exactly when `status` is `failed`;
    `incomplete_reason` exactly when it is `incomplete` (`max_output_tokens`, `content_filter`).
    """

    status: Literal["completed", "incomplete", "failed"]
    response: dict[str, Any]
    usage: dict[str, Any] | None
    failure: Failure | None = None
    incomplete_reason: str | None = None


Piece: TypeAlias = Delta | Event | Finish
