"""Events: the shapes of what Andon itself says, beside OpenAI's own events.

Owns the types of the answers on a socket, of errors over either door, and of what Andon adds to a Response. The code
that builds them is held to them by mypy, and the published contracts are made from them. Open: a client must take
members that are not listed here.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

EventId = Annotated[str, Meta(description="The `event_id` of the frame that this answers, where it gave one.")]
_Time = Annotated[float, Meta(description="Unix seconds.")]


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class ErrorBody(TypedDict):
    """What is wrong; the message says what to do."""

    type: str
    code: Annotated[str | None, Meta(description="What a program should look at.")]
    message: Annotated[str, Meta(description="For people: what is wrong, and the remedy.")]
    param: Annotated[str | None, Meta(description="The member, parameter or header that is wrong.")]
    retry_after_s: NotRequired[
        Annotated[
            float, Meta(description="On the socket, what `Retry-After` is over HTTP: seconds until a repeat may do.")
        ]
    ]


class ErrorAnswer(TypedDict):
    """The body of an HTTP answer that is not what was asked for."""

    error: ErrorBody


class ErrorEvent(TypedDict):
    """A frame that was not obeyed. The socket stays open."""

    type: Literal["error"]
    status: Annotated[int, Meta(description="The HTTP status of the same error.")]
    error: ErrorBody
    event_id: NotRequired[EventId]
    stream_id: NotRequired[Annotated[str, Meta(description="Only where a create of that lane failed.")]]


class StreamErrorEvent(TypedDict):
    """The last event of an SSE body that ends before its response; flat, as OpenAI's."""

    type: Literal["error"]
    sequence_number: Annotated[int, Meta(description="Of the event before it: follow the response from there.")]
    code: str
    message: str
    param: str | None


# ── answers on the socket ────────────────────────────────────────────────────────────────────────────────────────────


class Pong(TypedDict):
    """The answer to `ping`."""

    type: Literal["pong"]
    event_id: NotRequired[EventId]


class AuthRefreshed(TypedDict):
    """The answer to `auth.refresh`."""

    type: Literal["auth.refreshed"]
    expires_at: Annotated[float | None, Meta(description="Unix seconds; null: until it is revoked.")]
    event_id: NotRequired[EventId]


class StopProgress(TypedDict):
    """How far the stop of one response got: Unix seconds, or null for what has not happened (yet)."""

    response_id: str
    recorded: Annotated[float | None, Meta(description="The stop is durable.")]
    replicated: Annotated[
        float | bool | None,
        Meta(description="A replica of Redis has it; false: none answered in time; null: there is none."),
    ]
    acked: Annotated[float | None, Meta(description="The worker heard it.")]
    upstream_closed: Annotated[float | None, Meta(description="The stream from the model is closed.")]
    settled: Annotated[float | None, Meta(description="The ending and the usage are written.")]


class StopsAnswer(TypedDict):
    """How far the stops got."""

    stops: list[StopProgress]


class CancelAccepted(StopsAnswer):
    """The stop is durable."""

    type: Literal["response.cancel.accepted"]
    event_id: NotRequired[EventId]


class CancelDone(StopsAnswer):
    """All is settled, or the wait is over: what is known by then."""

    type: Literal["response.cancel.done"]
    event_id: NotRequired[EventId]


class CancelFailed(TypedDict):
    """Nothing was left to stop."""

    type: Literal["response.cancel.failed"]
    code: str
    error: ErrorBody
    event_id: NotRequired[EventId]


class RetrieveAccepted(TypedDict):
    """What is live in the session; each follows from its first event."""

    type: Literal["response.retrieve.accepted"]
    response_ids: list[str]
    event_id: NotRequired[EventId]


class SteerError(TypedDict):
    """Why steering failed."""

    type: str
    code: str
    message: str


class SteerFailed(TypedDict):
    """Steering is not supported yet; the input is returned."""

    type: Literal["response.steer.failed"]
    sequence_number: int
    steer: dict[str, Any]
    error: SteerError
    event_id: NotRequired[EventId]


# ── a Response ───────────────────────────────────────────────────────────────────────────────────────────────────────


class StopObject(TypedDict):
    """Who stopped a response, why, and when."""

    by: Annotated[str, Meta(description="The subject that asked.")]
    reason: str | None
    requested_at: _Time
    upstream_closed_at: Annotated[
        float | None, Meta(description="Unix seconds; null if no upstream was opened, or if nobody could tell.")
    ]


class UsageObject(TypedDict):
    """OpenAI's usage, and where it is from."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int
    source: Annotated[
        Literal["upstream", "estimated"],
        Meta(description="`upstream`: the model server told; `estimated`: counted here from all text received."),
    ]


class ResponseError(TypedDict):
    """Why a response failed: one of OpenAI's own codes, the precise cause in `type`, the remedy in the message."""

    code: str
    message: str
    type: str
    param: str | None


class ResponseState(TypedDict):
    """The members of a Response that change."""

    status: Annotated[
        Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"],
        Meta(description="A stopped response is `cancelled`, and its last event is `response.incomplete`."),
    ]
    error: ResponseError | None
    incomplete_details: dict[str, Any] | None
    output: list[dict[str, Any]]
    usage: UsageObject | None
    stop: NotRequired[StopObject]


class ResponseObject(ResponseState):
    """OpenAI's Response; here are the members that Andon itself writes."""

    id: str
    object: Literal["response"]
    created_at: _Time
    background: bool
    model: str
    metadata: dict[str, Any]
    previous_response_id: str | None


class LiveResponse(TypedDict):
    """A live response in a list."""

    id: str
    object: Literal["response"]
    status: Literal["queued", "in_progress"]
    created_at: _Time
    model: str
    background: bool


class LiveList(TypedDict):
    """What is live in a session, oldest first."""

    object: Literal["list"]
    data: list[LiveResponse]
    has_more: bool
