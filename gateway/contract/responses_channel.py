"""Responses channel: the client's socket, from the protocol's own tables.

What a client may say is `andon.protocol.FRAMES`, what is answered are the types of `andon.events`. The streaming events
are OpenAI's: here they are open objects with what Andon adds.
"""

from http import HTTPStatus
from typing import Annotated, Any, Final, NotRequired, TypedDict

from msgspec import Meta

from andon.closecodes import CloseCode
from andon.events import ResponseObject
from andon.member import Member
from andon.protocol import FRAMES
from gateway.contract.channel import (
    HANDSHAKE_REFUSED,
    Channel,
    message,
    messages_of,
    of_channel,
    operation,
    ref,
    type_of,
)
from gateway.contract.schemas import Schemas, all_of

_NAME: Final = "responses"
_OPENAI: Final = "https://platform.openai.com/docs/api-reference/responses-streaming"
# An id that can be none of ours, and a caller that has all its sockets.
_REFUSED: Final = (*HANDSHAKE_REFUSED, int(HTTPStatus.NOT_FOUND), int(HTTPStatus.TOO_MANY_REQUESTS))


class _ResponseEvent(TypedDict):
    """One of OpenAI's Responses streaming events, with what Andon adds to each."""

    type: str
    sequence_number: Annotated[int, Meta(ge=0, description="0, 1, 2, ... within a response, without a gap.")]
    response_id: Annotated[str, Meta(description="The response that it is of.")]
    stream_id: NotRequired[Annotated[str, Meta(description="Its lane, where the create named one.")]]


class _Created(_ResponseEvent):
    """The response was accepted: the first event of each."""

    session: Annotated[str, Meta(description="The session's name.")]
    response: ResponseObject


class _WithResponse(_ResponseEvent):
    """The response as it stands."""

    response: ResponseObject


# The events of a response that Andon itself writes, whatever the model server; `None`: any other of OpenAI's.
_EVENTS: Final[dict[str, tuple[type, str]]] = {
    "response.created": (_Created, "Accepted: number 0."),
    "response.in_progress": (_WithResponse, "A worker has it: number 1."),
    "response.completed": (_WithResponse, "The ending of a response that ran to its end."),
    "response.incomplete": (
        _WithResponse,
        "The ending of one that was cut short, or stopped: then its `status` is `cancelled`, and `stop` says by whom.",
    ),
    "response.failed": (_WithResponse, "The ending of one that failed: `response.error.type` is the precise cause."),
}
_OTHERS: Final = "response.event"


def responses_channel(query: tuple[Member[Any], ...], schemas: Schemas) -> Channel:
    """Describe `/v1/responses`. `query`: the parameters of the handshake."""
    asked = {type_: message(type_, frame_schema(type_, schemas), kind.meaning) for type_, kind in FRAMES.items()}
    answered = messages_of(dict.fromkeys(shape for kind in FRAMES.values() for shape in kind.answers), schemas)
    told = {type_: _event(type_, shape, meaning, schemas) for type_, (shape, meaning) in _EVENTS.items()}
    told[_OTHERS] = message(_OTHERS, schemas.of(_ResponseEvent), _ResponseEvent.__doc__, externalDocs={"url": _OPENAI})
    operations = {type_.removeprefix("response."): _asking(type_) for type_ in FRAMES}
    meaning = "The events of the responses that this socket created or retrieved, each of them in its order."
    operations["events"] = operation(_NAME, "send", meaning, told)
    return Channel(
        name=_NAME,
        address="/v1/responses",
        meaning="Create, follow and stop responses.",
        query=query,
        messages=asked | answered | told,
        operations=operations,
        close_codes=tuple(CloseCode),
        refusals=_REFUSED,
    )


def frame_schema(type_: str, schemas: Schemas) -> dict[str, Any]:
    """Return the schema of one frame of a client: it holds of exactly those that the parser takes."""
    kind = FRAMES[type_]
    members = schemas.members(kind.members, type={"const": type_})
    members["required"] = ["type", *members.get("required", ())]
    body = () if kind.body is None else (schemas.of(kind.body),)
    return all_of(members, *body, *kind.rules)


def _asking(type_: str) -> dict[str, Any]:
    answers = [of_channel(_NAME, type_of(shape)) for shape in FRAMES[type_].answers]
    reply = {"channel": ref("channels", _NAME), "messages": answers}
    return operation(_NAME, "receive", FRAMES[type_].meaning, (type_,), reply=reply)


def _event(type_: str, shape: type, meaning: str, schemas: Schemas) -> dict[str, Any]:
    payload = all_of(schemas.of(shape), {"properties": {"type": {"const": type_}}})
    return message(type_, payload, meaning)
