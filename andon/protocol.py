"""Protocol: what a client may say on the socket, parsed.

Owns the reading of client frames (design, section 3), and the table of them, `FRAMES`, which the published contract is
made from. Does no I/O and keeps no state: a frame in, a command or a refusal out; what is answered is `andon.answers`.
Guarantees: nothing a client sends raises; every refusal names the field and the remedy, and carries the client's
`event_id` where it could be read.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
from pydantic import SecretStr

from andon.create_body import SOMETHING_ASKED, CreateBody, check_create_body
from andon.errors import RequestError
from andon.events import (
    AuthRefreshed,
    CancelAccepted,
    CancelDone,
    CancelFailed,
    ErrorEvent,
    Pong,
    RetrieveAccepted,
    SteerFailed,
)
from andon.ids import ResponseId, as_response_id
from andon.member import Member
from andon.members import (
    ABANDON_S,
    DEADLINE_S,
    EVENT_ID,
    EVENT_ID_MAX_CHARS,
    INPUT,
    PREVIOUS_RESPONSE_ID,
    REASON,
    RESPONSE_ID,
    STARTING_AFTER,
    STREAM_ID,
    TOKEN,
    TRACEPARENT_MEMBER,
    TRACESTATE_MEMBER,
    abandon_s,
    deadline_s,
    reason_of,
    required_response_id,
)
from andon.tracing import NO_TRACE, TRACEPARENT, TRACESTATE, TraceContext, context_of

# Members of a create frame that are not of the Responses create body.
_OF_THE_SOCKET: Final = frozenset(
    {"type", EVENT_ID.name, STREAM_ID.name, ABANDON_S.name, DEADLINE_S.name, TRACEPARENT, TRACESTATE}
)


# Those that most creates do without.
_RARE: Final = _OF_THE_SOCKET - {"type", EVENT_ID.name}


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


class _PlainCancel(msgspec.Struct, tag_field="type", tag="response.cancel", forbid_unknown_fields=True):
    """The stop of one response, as most clients say it."""

    response_id: str
    event_id: str | None = None


_plain_cancel: Final = msgspec.json.Decoder(_PlainCancel).decode
_CANCEL: Final = b'"response.cancel"'


def parse_cancel(frame: bytes) -> Cancel | None:
    """Read a frame if it is the plain stop of one response; None: ask `parse_frame`, which says the same of it.

    In one go, for nothing waits for any other frame as a running model does for this one.
    """
    if _CANCEL not in frame:
        return None
    try:
        plain = _plain_cancel(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    response_id = as_response_id(plain.response_id)
    if response_id is None or (plain.event_id is not None and len(plain.event_id) > EVENT_ID_MAX_CHARS):
        return None
    return Cancel(response_id, None, None, plain.event_id)


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
    return Steer(str(event.get(PREVIOUS_RESPONSE_ID.name, "")), event.get(INPUT.name, ""), event_id)


def _parse_create(event: dict[str, Any], event_id: str | None) -> Create:
    is_plain = _RARE.isdisjoint(event)
    stream_id = None if is_plain else STREAM_ID.read(event)
    body = {name: value for name, value in event.items() if name not in _OF_THE_SOCKET}
    check_create_body(body)
    if body.get("background"):
        message = "`background` is not for the socket: leave it out; a job survives its socket, retrieve it later."
        raise RequestError("unsupported_parameter", message, param="background")
    if is_plain:
        return Create(body, None, event_id)
    return Create(body, stream_id, event_id, abandon_s(event), deadline_s(event), trace=_trace(event))


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
        (EVENT_ID, PREVIOUS_RESPONSE_ID, INPUT),
        (SteerFailed, ErrorEvent),
    ),
}
