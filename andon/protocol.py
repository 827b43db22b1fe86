"""Protocol: what a client may say on the socket, parsed; and what is answered on that socket alone.

Owns the reading of client frames (design, section 3), and the table of them, `FRAMES`, which the published contract is
made from. Does no I/O and keeps no state: a frame in, a command or a refusal out. Guarantees: nothing a client sends
raises; every refusal names the field and the remedy, and carries the client's `event_id` where it could be read.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta
from pydantic import SecretStr

from andon.create_body import LARGEST_NUMBER, SOMETHING_ASKED, CreateBody, check_create_body
from andon.errors import NotFoundError, RequestError
from andon.events import (
    AuthRefreshed,
    CancelAccepted,
    CancelDone,
    CancelFailed,
    ErrorEvent,
    Pong,
    RetrieveAccepted,
    SteerFailed,
    StopsAnswer,
)
from andon.ids import RESPONSE_ID_PATTERN, SESSION_NAME_MAX_CHARS, ResponseId, SessionName, as_response_id
from andon.member import Member
from andon.replies import StopReceipt
from andon.settings import LONGEST_ABANDON_S, LONGEST_DEADLINE_S, SHORTEST_ABANDON_S, SHORTEST_DEADLINE_S
from andon.tracing import NO_TRACE, TRACEPARENT, TRACESTATE, TRACESTATE_MAX_CHARS, TraceContext, context_of

EVENT_ID_MAX_CHARS: Final = 512
_REASON_MAX_CHARS: Final = 1024
# As long as fits into a line of a handshake's head, whose parser takes 8 KiB.
TOKEN_MAX_CHARS: Final = 8000

# ── members ──────────────────────────────────────────────────────────────────────────────────────────────────────────

EVENT_ID: Final = Member[str](
    "event_id",
    Annotated[str, Meta(max_length=EVENT_ID_MAX_CHARS)],
    f"a string of {EVENT_ID_MAX_CHARS} characters at most",
    "Repeated by every answer to this frame. Of a create it is also the key that makes it idempotent in its session.",
)
STREAM_ID: Final = Member[str](
    "stream_id",
    # Python's `$` alone would let a line feed pass.
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,256}(?!\n)$")],
    "1 to 256 characters of A-Z a-z 0-9 _ . -",
    "A lane of this very socket: responses in one lane run one after another.",
    "invalid_stream_id",
)
REASON: Final = Member[str](
    "reason",
    Annotated[str, Meta(max_length=_REASON_MAX_CHARS)],
    f"a string of {_REASON_MAX_CHARS} characters at most",
    "Why it is stopped; the response's `stop` repeats it.",
)
RESPONSE_ID: Final = Member[str](
    "response_id",
    # One of another shape is a string, and not found.
    Annotated[str, Meta(extra_json_schema={"pattern": RESPONSE_ID_PATTERN})],
    "a string",
    "A response of this session, or of another one of the same owner.",
)
STARTING_AFTER: Final = Member[int](
    "starting_after",
    Annotated[int, Meta(ge=-1, le=LARGEST_NUMBER)],
    "a sequence number, 0 or more",
    "The last `sequence_number` that was seen; what follows it is sent. Absent or -1: from the first event on.",
)
ABANDON_S: Final = Member[float](
    "abandon_s",
    Annotated[
        float,
        Meta(ge=0, le=LONGEST_ABANDON_S, extra_json_schema={"anyOf": [{"const": 0}, {"minimum": SHORTEST_ABANDON_S}]}),
    ],
    f"seconds, {SHORTEST_ABANDON_S:g} to {LONGEST_ABANDON_S:g}, or 0 for never",
    "Seconds without anybody attached until the response is stopped; 0: never. Absent: `ANDON_ABANDON_S`.",
)
DEADLINE_S: Final = Member[float](
    "deadline_s",
    Annotated[float, Meta(ge=SHORTEST_DEADLINE_S, le=LONGEST_DEADLINE_S)],
    f"seconds, {SHORTEST_DEADLINE_S:g} to {LONGEST_DEADLINE_S:g}",
    "Seconds from the create to the end, waiting included; then the response fails with `deadline_exceeded`. No longer "
    "than `ANDON_DEADLINE_S`, which is what holds if it is absent.",
)
SESSION: Final = Member[str](
    "session",
    Annotated[str, Meta(min_length=1, max_length=SESSION_NAME_MAX_CHARS)],
    f"1 to {SESSION_NAME_MAX_CHARS} characters",
    "The session; made up if absent, and told by `response.created`.",
    "invalid_value",
)
TOKEN: Final = Member[str](
    "token",
    Annotated[str, Meta(min_length=1, max_length=TOKEN_MAX_CHARS)],
    f"a string of 1 to {TOKEN_MAX_CHARS} characters",
    "Another token of the same caller. No answer and no log repeats it.",
    is_required=True,
)
TRACEPARENT_MEMBER: Final = Member[str](
    TRACEPARENT,
    Annotated[str, Meta(max_length=TRACESTATE_MAX_CHARS)],
    f"a string of {TRACESTATE_MAX_CHARS} characters at most",
    "The caller's trace (W3C Trace Context), which this continues; absent: that of the handshake. What is no good is "
    "ignored.",
)
TRACESTATE_MEMBER: Final = msgspec.structs.replace(
    TRACEPARENT_MEMBER, name=TRACESTATE, meaning="The `tracestate` that belongs to it."
)
_PREVIOUS_RESPONSE_ID: Final = Member[Any](
    "previous_response_id", Any, "a response id", "Repeated by the answer, as a text."
)
_INPUT: Final = Member[Any]("input", Any, "input items", "Repeated by the answer.")
# Members of a create frame that are not of the Responses create body.
_OF_THE_SOCKET: Final = frozenset(
    {"type", EVENT_ID.name, STREAM_ID.name, ABANDON_S.name, DEADLINE_S.name, TRACEPARENT, TRACESTATE}
)

# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Create(msgspec.Struct, frozen=True):
    """`response.create`: start a job. `body` is the Responses create body, without the socket's own members."""

    body: dict[str, Any]
    stream_id: str | None
    event_id: str | None
    # Seconds without anybody attached until it is stopped; None: as the gateway is set.
    abandon_s: float | None = None
    # Seconds from the create in which it must end; None: as the gateway is set.
    deadline_s: float | None = None
    # Nobody waits for it (HTTP only): what its `background` says.
    is_background: bool = False
    # What the frame itself said; none where the handshake's holds.
    trace: TraceContext = NO_TRACE


class Cancel(msgspec.Struct, frozen=True):
    """`response.cancel`: the stop of one response, of one lane of this socket, or of the whole session."""

    response_id: ResponseId | None
    stream_id: str | None
    reason: str | None
    event_id: str | None
    trace: TraceContext = NO_TRACE


class Retrieve(msgspec.Struct, frozen=True):
    """`response.retrieve`: replay from the log, then live. `starting_after` -1: from the first event.

    `response_id` None: every live response of the session, each from its first event.
    """

    response_id: ResponseId | None
    starting_after: int
    event_id: str | None


class Ping(msgspec.Struct, frozen=True):
    """`ping`: browsers cannot send WebSocket pings."""

    event_id: str | None


class Refresh(msgspec.Struct, frozen=True):
    """`auth.refresh`: another token of the same caller, before the present one expires."""

    # Not shown when the command is.
    token: SecretStr
    event_id: str | None


class Steer(msgspec.Struct, frozen=True):
    """`response.steer`: known, and refused until it is built; the refusal returns the input."""

    previous_response_id: str
    input: Any
    event_id: str | None


Command: TypeAlias = Create | Cancel | Retrieve | Refresh | Ping | Steer


class Refusal(msgspec.Struct, frozen=True):
    """A frame that cannot be obeyed, and whose words the answer repeats."""

    error: RequestError
    event_id: str | None = None
    stream_id: str | None = None


def parse_frame(frame: str | bytes) -> Command | Refusal:
    """Read one text frame."""
    try:
        event = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return Refusal(RequestError("invalid_json", f"The frame is not JSON ({error}). Send one JSON object a frame."))
    if not isinstance(event, dict):
        return Refusal(RequestError("invalid_json", "The frame is JSON but no object. Send one JSON object a frame."))
    event_id = event.get("event_id")
    known_id = event_id if isinstance(event_id, str) and len(event_id) <= EVENT_ID_MAX_CHARS else None
    try:
        EVENT_ID.read(event)
        return _parse_event(event, known_id)
    except RequestError as error:
        return Refusal(error, known_id, _lane_of(event) if event.get("type") == "response.create" else None)


def _parse_event(event: dict[str, Any], event_id: str | None) -> Command:
    type_ = event.get("type")
    if type_ is None:
        raise RequestError("missing_required_parameter", "Every frame needs a `type`.", param="type")
    kind = FRAMES.get(type_) if isinstance(type_, str) else None
    if kind is None:
        message = f"Unknown type {str(type_)[:80]!r}. Known: {', '.join(FRAMES)}."
        raise RequestError("unknown_type", message, param="type")
    return kind.parse(event, event_id)


def _lane_of(event: dict[str, Any]) -> str | None:
    """Read the lane of a frame that is refused; None where it is no good either."""
    try:
        return STREAM_ID.read(event)
    except RequestError:
        return None


def _parse_ping(_: dict[str, Any], event_id: str | None) -> Ping:
    return Ping(event_id)


def _parse_steer(event: dict[str, Any], event_id: str | None) -> Steer:
    return Steer(str(event.get(_PREVIOUS_RESPONSE_ID.name, "")), event.get(_INPUT.name, ""), event_id)


def _parse_create(event: dict[str, Any], event_id: str | None) -> Create:
    stream_id = STREAM_ID.read(event)
    body = {name: value for name, value in event.items() if name not in _OF_THE_SOCKET}
    check_create_body(body)
    if body.get("background"):
        message = "`background` is not for the socket: leave it out; a job survives its socket, retrieve it later."
        raise RequestError("unsupported_parameter", message, param="background")
    return Create(body, stream_id, event_id, abandon_s(event), deadline_s(event), trace=_trace(event))


def abandon_s(members: dict[str, Any]) -> float | None:
    """Read the `abandon_s` of a create; None where it gave none."""
    seconds = _seconds(ABANDON_S, members)
    if seconds is not None and 0 < seconds < SHORTEST_ABANDON_S:
        raise ABANDON_S.refusal("invalid_value")
    return seconds


def deadline_s(members: dict[str, Any]) -> float | None:
    """Read the `deadline_s` of a create; None where it gave none."""
    return _seconds(DEADLINE_S, members)


def _seconds(member: Member[float], members: dict[str, Any]) -> float | None:
    try:
        return member.read(members)
    except RequestError as error:
        # A number out of its bounds is another mistake than what is no number.
        value = members[member.name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        raise (member.refusal("invalid_value") if is_number else error) from error


def _trace(event: dict[str, Any]) -> TraceContext:
    for member in (TRACEPARENT_MEMBER, TRACESTATE_MEMBER):
        member.read(event)
    return context_of(event)


def _parse_cancel(event: dict[str, Any], event_id: str | None) -> Cancel:
    reason = reason_of(event)
    value = event.get(RESPONSE_ID.name)
    response_id = None if value is None else required_response_id(value)
    stream_id = STREAM_ID.read(event)
    if response_id is not None and stream_id is not None:
        message = "Give `response_id` or `stream_id`, or neither (every live response of the session)."
        raise RequestError("invalid_value", message, param="stream_id")
    return Cancel(response_id, stream_id, reason, event_id, _trace(event))


def _parse_retrieve(event: dict[str, Any], event_id: str | None) -> Retrieve:
    number = STARTING_AFTER.read(event)
    starting_after = -1 if number is None else number
    if event.get(RESPONSE_ID.name) is not None:
        return Retrieve(required_response_id(event[RESPONSE_ID.name]), starting_after, event_id)
    if starting_after != -1:
        message = "`starting_after` is a number within one response: give its `response_id` too."
        raise RequestError("missing_required_parameter", message, param="response_id")
    return Retrieve(None, -1, event_id)


def _parse_refresh(event: dict[str, Any], event_id: str | None) -> Refresh:
    token = TOKEN.read(event)
    if token is None:
        raise RequestError("missing_required_parameter", "`token` is missing.", param="token")
    return Refresh(SecretStr(token), event_id)


def required_response_id(value: Any) -> ResponseId:
    """Read a response id; one that cannot be ours is not found, like one that is not."""
    if value is None:
        raise RequestError("missing_required_parameter", "`response_id` is missing.", param="response_id")
    text = RESPONSE_ID.checked(value)
    response_id = as_response_id(text)
    if response_id is None:
        raise response_not_found(text)
    return response_id


def response_not_found(response_id: str) -> NotFoundError:
    """Say that there is no such response for this caller: unknown, expired and foreign look alike."""
    message = f"No response {response_id[:80]!r}. It never was, its log expired, or it is not yours."
    return NotFoundError("response_not_found", message, param="response_id")


def reason_of(members: dict[str, Any]) -> str | None:
    """Read why a stop is asked for."""
    return REASON.read(members)


def session_name(text: str) -> SessionName:
    """Read the name of a session."""
    return SessionName(SESSION.checked(text))


def starting_after_of(query: str | None) -> int:
    """Read the `starting_after` of a query; -1, from the first event, where there is none."""
    if query is None:
        return -1
    # By hand: `int` takes spaces, underscores and any script's digits, and limits how many.
    is_number = query.isascii() and query.removeprefix("-").isdecimal() and len(query) <= len(str(LARGEST_NUMBER))
    try:
        return STARTING_AFTER.checked(int(query) if is_number else None)
    except RequestError as error:
        raise STARTING_AFTER.refusal("invalid_value") from error


class FrameKind(msgspec.Struct, frozen=True):
    """One thing that a client may say."""

    parse: Callable[[dict[str, Any], str | None], Command]
    meaning: str
    # Those that the parser reads; others pass or are ignored.
    members: tuple[Member[Any], ...]
    # What it is answered with, beside the events of the responses that it starts or follows.
    answers: tuple[type, ...]
    # The type of the body that the frame is, beside these members.
    body: type | None = None
    # The rules between members, as JSON Schema.
    rules: tuple[dict[str, Any], ...] = ()


FRAMES: Final[dict[str, FrameKind]] = {
    "response.create": FrameKind(
        _parse_create,
        "Start a response: OpenAI's create body at top level. Its events follow.",
        (EVENT_ID, STREAM_ID, ABANDON_S, DEADLINE_S, TRACEPARENT_MEMBER, TRACESTATE_MEMBER),
        (ErrorEvent,),
        body=CreateBody,
        rules=(SOMETHING_ASKED, {"properties": {"background": {"enum": [False, None]}}}),
    ),
    "response.cancel": FrameKind(
        _parse_cancel,
        "Stop one response, one lane of this socket, or, with neither, every live response of the session.",
        (EVENT_ID, RESPONSE_ID, STREAM_ID, REASON, TRACEPARENT_MEMBER, TRACESTATE_MEMBER),
        (CancelAccepted, CancelDone, CancelFailed, ErrorEvent),
        rules=({"anyOf": [{"properties": {name: {"type": "null"}}} for name in (RESPONSE_ID.name, STREAM_ID.name)]},),
    ),
    "response.retrieve": FrameKind(
        _parse_retrieve,
        "Replay a response from the log, then follow it live; without `response_id`, every live one of the session.",
        (EVENT_ID, RESPONSE_ID, STARTING_AFTER),
        (RetrieveAccepted, ErrorEvent),
        rules=(
            {
                "anyOf": [
                    {"required": [RESPONSE_ID.name], "properties": {RESPONSE_ID.name: {"type": "string"}}},
                    {"properties": {STARTING_AFTER.name: {"enum": [-1, None]}}},
                ]
            },
        ),
    ),
    "auth.refresh": FrameKind(
        _parse_refresh,
        "Give another token of the same caller before the present one expires.",
        (EVENT_ID, TOKEN),
        (AuthRefreshed, ErrorEvent),
    ),
    "ping": FrameKind(
        _parse_ping, "Ask for a `pong`: browsers cannot send WebSocket pings.", (EVENT_ID,), (Pong, ErrorEvent)
    ),
    "response.steer": FrameKind(
        _parse_steer,
        "Known, and refused until it is built.",
        (EVENT_ID, _PREVIOUS_RESPONSE_ID, _INPUT),
        (SteerFailed, ErrorEvent),
    ),
}


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


E = TypeVar("E", bound=Mapping[str, object])


def with_event_id(event: E, event_id: str | None) -> E:
    """Repeat the client's `event_id` where it gave one."""
    return event if event_id is None else cast("E", {**event, "event_id": event_id})


def pong(ping: Ping) -> Pong:
    """Shape `pong`."""
    return with_event_id(Pong(type="pong"), ping.event_id)


def refreshed(expires_at: float | None, event_id: str | None) -> AuthRefreshed:
    """Shape `auth.refreshed`: until when the new token holds, in Unix seconds; None: until it is revoked."""
    return with_event_id(AuthRefreshed(type="auth.refreshed", expires_at=expires_at), event_id)


def stops_answer(receipts: list[StopReceipt]) -> StopsAnswer:
    """Shape `stops`: for each response how far its stop got."""
    return {
        "stops": [
            {
                "response_id": receipt.response_id,
                "recorded": receipt.recorded,
                "replicated": receipt.replicated,
                "acked": receipt.acked,
                "upstream_closed": receipt.upstream_closed,
                "settled": receipt.settled,
            }
            for receipt in receipts
        ]
    }


def cancel_accepted(receipts: list[StopReceipt], event_id: str | None) -> CancelAccepted:
    """Shape `response.cancel.accepted`."""
    event: CancelAccepted = {"type": "response.cancel.accepted", "stops": stops_answer(receipts)["stops"]}
    return with_event_id(event, event_id)


def cancel_done(receipts: list[StopReceipt], event_id: str | None) -> CancelDone:
    """Shape `response.cancel.done`."""
    event: CancelDone = {"type": "response.cancel.done", "stops": stops_answer(receipts)["stops"]}
    return with_event_id(event, event_id)


def cancel_failed(code: str, message: str, event_id: str | None) -> CancelFailed:
    """Shape `response.cancel.failed`: nothing was left to stop. Never an `error`: that would end an SDK's lane."""
    event: CancelFailed = {
        "type": "response.cancel.failed",
        "code": code,
        "error": {"type": "invalid_request_error", "code": code, "message": message, "param": None},
    }
    return with_event_id(event, event_id)


def live_answer(response_ids: list[ResponseId], event_id: str | None) -> RetrieveAccepted:
    """Shape `response.retrieve.accepted`: what is live in the session, and follows."""
    event: RetrieveAccepted = {"type": "response.retrieve.accepted", "response_ids": [*response_ids]}
    return with_event_id(event, event_id)


def steer_failed(steer: Steer) -> SteerFailed:
    """Shape `response.steer.failed` as the SDK's type demands it."""
    event: SteerFailed = {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "steer": {"input": steer.input, "previous_response_id": steer.previous_response_id},
        "error": {
            "type": "invalid_request_error",
            "code": "steering_not_supported",
            "message": "Andon does not steer yet: stop this response and create another.",
        },
    }
    return with_event_id(event, steer.event_id)
