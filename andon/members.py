"""Members: what a client may say in one member of a frame, a body or a query, and how it is read.

Owns their shapes, bounds and meanings, which the published contract is made from, and the reading of single ones. Pure.
Guarantees: whatever is no good is a `RequestError` that names the member and the remedy; an id that cannot be ours is
not found, as one that is unknown.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from andon.create_body import LARGEST_NUMBER
from andon.errors import NotFoundError, RequestError
from andon.ids import RESPONSE_ID_PATTERN, SESSION_NAME_MAX_CHARS, ResponseId, SessionName, as_response_id
from andon.member import Member
from andon.settings import LONGEST_ABANDON_S, LONGEST_DEADLINE_S, SHORTEST_ABANDON_S, SHORTEST_DEADLINE_S
from andon.tracing import TRACEPARENT, TRACESTATE, TRACESTATE_MAX_CHARS

EVENT_ID_MAX_CHARS: Final = 512
_REASON_MAX_CHARS: Final = 1024
# As long as fits into a line of a handshake's head, whose parser takes 8 KiB.
TOKEN_MAX_CHARS: Final = 8000

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
PREVIOUS_RESPONSE_ID: Final = Member[Any](
    "previous_response_id", Any, "a response id", "Repeated by the answer, as a text."
)
INPUT: Final = Member[Any]("input", Any, "input items", "Repeated by the answer.")


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
