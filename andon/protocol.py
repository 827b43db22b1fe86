"""Protocol: what a client may say on the socket, parsed; and what is answered on that socket alone.

Owns the reading of client frames (design, section 3). Does no I/O and keeps no state: a frame in, a command or a
refusal out. Guarantees: nothing a client sends raises; every refusal names the field and the remedy, and carries the
client's `event_id` where it could be read.
"""

import re
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType
from pydantic import SecretStr

from andon.errors import NotFoundError, RequestError
from andon.ids import SESSION_NAME_MAX_CHARS, ResponseId, SessionName, as_response_id
from andon.replies import StopReceipt
from andon.settings import LONGEST_ABANDON_S, LONGEST_DEADLINE_S, SHORTEST_ABANDON_S, SHORTEST_DEADLINE_S

_STREAM_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
EVENT_ID_MAX_CHARS: Final = 512
_REASON_MAX_CHARS: Final = 1024
# As long as fits into a line of a handshake's head, whose parser takes 8 KiB.
TOKEN_MAX_CHARS: Final = 8000
# Members of a create frame that are not of the Responses create body.
_OF_THE_SOCKET: Final = frozenset({"type", "event_id", "stream_id", "abandon_s", "deadline_s"})
_LARGEST_NUMBER: Final = 2**53 - 1


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


class Cancel(msgspec.Struct, frozen=True):
    """`response.cancel`: the stop of one response, of one lane of this socket, or of the whole session."""

    response_id: ResponseId | None
    stream_id: str | None
    reason: str | None
    event_id: str | None


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


class _CreateBody(msgspec.Struct):
    """The types of the create members that Andon reads or that a Response repeats; others pass as they are."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[dict[str, Any]] | UnsetType | None = UNSET
    instructions: str | list[dict[str, Any]] | UnsetType | None = UNSET
    tools: list[dict[str, Any]] | UnsetType | None = UNSET
    tool_choice: str | dict[str, Any] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    max_output_tokens: Annotated[int, Meta(ge=1, le=_LARGEST_NUMBER)] | UnsetType | None = UNSET
    max_tool_calls: Annotated[int, Meta(ge=1, le=_LARGEST_NUMBER)] | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    reasoning: dict[str, Any] | UnsetType | None = UNSET
    text: dict[str, Any] | UnsetType | None = UNSET
    truncation: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    safety_identifier: str | UnsetType | None = UNSET
    prompt_cache_key: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    background: bool | UnsetType | None = UNSET
    generate: bool | UnsetType | None = UNSET
    include: list[str] | UnsetType | None = UNSET
    stream_options: dict[str, Any] | UnsetType | None = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET


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
        _text(event, "event_id", EVENT_ID_MAX_CHARS)
        return _parse_event(event, known_id)
    except RequestError as error:
        lane = event.get("stream_id") if event.get("type") == "response.create" else None
        lane_is_good = isinstance(lane, str) and _STREAM_ID.fullmatch(lane) is not None
        return Refusal(error, known_id, lane if lane_is_good else None)


def _parse_event(event: dict[str, Any], event_id: str | None) -> Command:
    match event.get("type"):
        case "response.create":
            return _parse_create(event, event_id)
        case "response.cancel":
            return _parse_cancel(event, event_id)
        case "response.retrieve":
            return _parse_retrieve(event, event_id)
        case "auth.refresh":
            return Refresh(_token(event), event_id)
        case "ping":
            return Ping(event_id)
        case "response.steer":
            return Steer(str(event.get("previous_response_id", "")), event.get("input", ""), event_id)
        case None:
            raise RequestError("missing_required_parameter", "Every frame needs a `type`.", param="type")
        case other:
            known = "response.create, response.cancel, response.retrieve, auth.refresh, ping"
            raise RequestError("unknown_type", f"Unknown type {str(other)[:80]!r}. Known: {known}.", param="type")


def _parse_create(event: dict[str, Any], event_id: str | None) -> Create:
    stream_id = _stream_id(event)
    body = {name: value for name, value in event.items() if name not in _OF_THE_SOCKET}
    check_create_body(body)
    if body.get("background"):
        message = "`background` is not for the socket: leave it out; a job survives its socket, retrieve it later."
        raise RequestError("unsupported_parameter", message, param="background")
    return Create(body, stream_id, event_id, abandon_s(event), deadline_s(event))


def abandon_s(members: dict[str, Any]) -> float | None:
    """Read the `abandon_s` of a create; None where it gave none."""
    value = members.get("abandon_s")
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (value != 0 and not SHORTEST_ABANDON_S <= value <= LONGEST_ABANDON_S):
        message = f"`abandon_s`: expected seconds, {SHORTEST_ABANDON_S:g} to {LONGEST_ABANDON_S:g}, or 0 for never."
        raise RequestError("invalid_value" if is_number else "invalid_type", message, param="abandon_s")
    return float(value)


def deadline_s(members: dict[str, Any]) -> float | None:
    """Read the `deadline_s` of a create; None where it gave none."""
    value = members.get("deadline_s")
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not SHORTEST_DEADLINE_S <= value <= LONGEST_DEADLINE_S:
        message = f"`deadline_s`: expected seconds, {SHORTEST_DEADLINE_S:g} to {LONGEST_DEADLINE_S:g}."
        raise RequestError("invalid_value" if is_number else "invalid_type", message, param="deadline_s")
    return float(value)


def check_create_body(body: dict[str, Any]) -> None:
    """Check the members of a create body; raises RequestError that names the member."""
    try:
        checked = msgspec.convert(body, _CreateBody)
    except msgspec.ValidationError as error:
        raise _named(error) from error
    if body.get("generate") is False:
        message = "`generate: false` is not supported: leave `generate` out."
        raise RequestError("unsupported_parameter", message, param="generate")
    if not checked.input and not checked.prompt and not checked.previous_response_id:
        message = "Give `input`: a text, or a list of input items."
        raise RequestError("missing_required_parameter", message, param="input")


def _named(error: msgspec.ValidationError) -> RequestError:
    """Turn msgspec's message (`Expected ..., got ... - at `$.path``) into one that names the member."""
    what, _, path = str(error).partition(" - at ")
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        name = missing[1]
        return RequestError("missing_required_parameter", f"`{name}` is missing.", param=name)
    param = path.strip("`").removeprefix("$").removeprefix(".")
    return RequestError("invalid_type", f"`{param}`: {what[:1].lower()}{what[1:]}.", param=param or None)


def _parse_cancel(event: dict[str, Any], event_id: str | None) -> Cancel:
    reason = reason_of(event)
    response_id = None if event.get("response_id") is None else required_response_id(event["response_id"])
    stream_id = _stream_id(event)
    if response_id is not None and stream_id is not None:
        message = "Give `response_id` or `stream_id`, or neither (every live response of the session)."
        raise RequestError("invalid_value", message, param="stream_id")
    return Cancel(response_id, stream_id, reason, event_id)


def _parse_retrieve(event: dict[str, Any], event_id: str | None) -> Retrieve:
    starting_after = _starting_after(event)
    if event.get("response_id") is not None:
        return Retrieve(required_response_id(event["response_id"]), starting_after, event_id)
    if starting_after != -1:
        message = "`starting_after` is a number within one response: give its `response_id` too."
        raise RequestError("missing_required_parameter", message, param="response_id")
    return Retrieve(None, -1, event_id)


def _token(event: dict[str, Any]) -> SecretStr:
    """Read a token; no refusal repeats it."""
    token = event.get("token")
    if token is None:
        raise RequestError("missing_required_parameter", "`token` is missing.", param="token")
    if not isinstance(token, str) or not 0 < len(token) <= TOKEN_MAX_CHARS:
        message = f"`token`: expected a string of 1 to {TOKEN_MAX_CHARS} characters."
        raise RequestError("invalid_type", message, param="token")
    return SecretStr(token)


def required_response_id(value: Any) -> ResponseId:
    """Read a response id; one that cannot be ours is not found, like one that is not."""
    if value is None:
        raise RequestError("missing_required_parameter", "`response_id` is missing.", param="response_id")
    if not isinstance(value, str):
        raise RequestError("invalid_type", "`response_id`: expected a string.", param="response_id")
    response_id = as_response_id(value)
    if response_id is None:
        raise response_not_found(value)
    return response_id


def response_not_found(response_id: str) -> NotFoundError:
    """Say that there is no such response for this caller: unknown, expired and foreign look alike."""
    message = f"No response {response_id[:80]!r}. It never was, its log expired, or it is not yours."
    return NotFoundError("response_not_found", message, param="response_id")


def reason_of(members: dict[str, Any]) -> str | None:
    """Read why a stop is asked for."""
    return _text(members, "reason", _REASON_MAX_CHARS)


def session_name(text: str) -> SessionName:
    """Read the name of a session."""
    if not 0 < len(text) <= SESSION_NAME_MAX_CHARS:
        message = f"`session`: expected 1 to {SESSION_NAME_MAX_CHARS} characters."
        raise RequestError("invalid_value", message, param="session")
    return SessionName(text)


def starting_after_of(query: str | None) -> int:
    """Read the `starting_after` of a query; -1, from the first event, where there is none."""
    try:
        number = -1 if query is None else int(query)
    except ValueError:
        number = None
    if number is None or number > _LARGEST_NUMBER:
        message = "`starting_after`: expected a sequence number, 0 or more."
        raise RequestError("invalid_value", message, param="starting_after")
    return max(number, -1)


def _starting_after(event: dict[str, Any]) -> int:
    value = event.get("starting_after")
    if value is None:
        return -1
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= _LARGEST_NUMBER:
        message = "`starting_after`: expected a sequence number, 0 or more."
        raise RequestError("invalid_type", message, param="starting_after")
    return value


def _stream_id(event: dict[str, Any]) -> str | None:
    value = event.get("stream_id")
    if value is None:
        return None
    if not isinstance(value, str) or not _STREAM_ID.fullmatch(value):
        message = "`stream_id`: expected 1 to 256 characters of A-Z a-z 0-9 _ . -"
        raise RequestError("invalid_stream_id", message, param="stream_id")
    return value


def _text(event: dict[str, Any], name: str, most_chars: int) -> str | None:
    value = event.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most_chars:
        raise RequestError(
            "invalid_type", f"`{name}`: expected a string of {most_chars} characters at most.", param=name
        )
    return value


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def with_event_id(event: dict[str, Any], event_id: str | None) -> dict[str, Any]:
    """Repeat the client's `event_id` where it gave one."""
    return event if event_id is None else {**event, "event_id": event_id}


def refreshed(expires_at: float | None, event_id: str | None) -> dict[str, Any]:
    """Shape `auth.refreshed`: until when the new token holds, in Unix seconds; None: until it is revoked."""
    return with_event_id({"type": "auth.refreshed", "expires_at": expires_at}, event_id)


def stops_answer(receipts: list[StopReceipt]) -> dict[str, Any]:
    """Shape `stops`: for each response how far its stop got."""
    stops = [
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
    return {"stops": stops}


def cancel_answer(type_: str, receipts: list[StopReceipt], event_id: str | None) -> dict[str, Any]:
    """Shape `response.cancel.accepted` and `response.cancel.done`."""
    return with_event_id({"type": type_, **stops_answer(receipts)}, event_id)


def cancel_failed(code: str, message: str, event_id: str | None) -> dict[str, Any]:
    """Shape `response.cancel.failed`: nothing was left to stop. Never an `error`: that would end an SDK's lane."""
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
    return with_event_id({"type": "response.cancel.failed", "code": code, "error": error}, event_id)


def live_answer(response_ids: list[ResponseId], event_id: str | None) -> dict[str, Any]:
    """Shape `response.retrieve.accepted`: what is live in the session, and follows."""
    return with_event_id({"type": "response.retrieve.accepted", "response_ids": response_ids}, event_id)


def steer_failed(steer: Steer) -> dict[str, Any]:
    """Shape `response.steer.failed` as the SDK's type demands it."""
    event = {
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
