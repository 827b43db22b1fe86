"""AsyncAPI: the document of the socket (AsyncAPI 3.0), from the protocol's own tables.

Owns its shape. What a client may say is `andon.protocol.FRAMES`, what is answered are the types of `andon.events`, why
a socket ends is `andon.closecodes`. The streaming events are OpenAI's: here they are open objects with what Andon adds.
"""

from typing import Annotated, Any, Final, NotRequired, TypedDict, get_args, get_type_hints

from msgspec import Meta

import andon
from andon.closecodes import CLOSE_CODES
from andon.events import ResponseObject
from andon.member import Member
from andon.protocol import FRAMES, FrameKind
from gateway.contract.schemas import Schemas, all_of
from gateway.contract.security import SOCKET_SCHEMES

_CHANNEL: Final = "responses"
_ABOUT: Final = (
    "OpenAI's Responses WebSocket mode, plus stop and resume. One JSON object a text frame. Objects are open: members "
    "that are not listed here are OpenAI's, or the model server's, and pass as they are."
)
_OPENAI: Final = "https://platform.openai.com/docs/api-reference/responses-streaming"


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


def asyncapi(query: tuple[Member[Any], ...]) -> dict[str, Any]:
    """Build the document. `query`: the parameters of the handshake."""
    schemas = Schemas()
    asked = {type_: _asked(type_, kind, schemas) for type_, kind in FRAMES.items()}
    answered = {_type_of(shape): _message(_type_of(shape), schemas.of(shape), shape.__doc__) for shape in _answers()}
    told = {type_: _event(type_, shape, meaning, schemas) for type_, (shape, meaning) in _EVENTS.items()}
    told[_OTHERS] = _message(_OTHERS, schemas.of(_ResponseEvent), _ResponseEvent.__doc__, externalDocs={"url": _OPENAI})
    operations: dict[str, Any] = {
        _operation_id(type_): {
            "action": "receive",
            "summary": kind.meaning,
            "channel": _ref("channels", _CHANNEL),
            "messages": [_of_channel(type_)],
            "reply": {
                "channel": _ref("channels", _CHANNEL),
                "messages": [_of_channel(_type_of(shape)) for shape in kind.answers],
            },
        }
        for type_, kind in FRAMES.items()
    }
    operations["events"] = {
        "action": "send",
        "summary": "The events of the responses that this socket created or retrieved, each of them in its order.",
        "channel": _ref("channels", _CHANNEL),
        "messages": [_of_channel(type_) for type_ in told],
    }
    messages = asked | answered | told
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Andon",
            "version": andon.__version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"gateway": _server()},
        "channels": {
            _CHANNEL: {
                "address": "/v1/responses",
                "messages": {type_: _ref("components", "messages", type_) for type_ in messages},
                "bindings": {
                    "ws": {
                        "method": "GET",
                        # A query has no null.
                        "query": {
                            "type": "object",
                            "properties": {m.name: schemas.member(m, may_be_null=False) for m in query},
                        },
                        "bindingVersion": "0.1.0",
                    }
                },
                "x-close-codes": {
                    str(int(code)): {"reason": reason, "meaning": meaning, "advice": advice}
                    for code, (reason, meaning, advice) in CLOSE_CODES.items()
                },
            }
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": dict(sorted(schemas.components.items())),
            **({"securitySchemes": SOCKET_SCHEMES} if SOCKET_SCHEMES else {}),
        },
    }


def frame_schema(type_: str, schemas: Schemas) -> dict[str, Any]:
    """Return the schema of one frame of a client: it holds of exactly those that the parser takes."""
    kind = FRAMES[type_]
    members = schemas.members(kind.members, type={"const": type_})
    members["required"] = ["type", *members.get("required", ())]
    body = () if kind.body is None else (schemas.of(kind.body),)
    return all_of(members, *body, *kind.rules)


def _asked(type_: str, kind: FrameKind, schemas: Schemas) -> dict[str, Any]:
    return _message(type_, frame_schema(type_, schemas), kind.meaning)


def _event(type_: str, shape: type, meaning: str, schemas: Schemas) -> dict[str, Any]:
    payload = all_of(schemas.of(shape), {"properties": {"type": {"const": type_}}})
    return _message(type_, payload, meaning)


def _message(type_: str, payload: dict[str, Any], meaning: str | None, **others: Any) -> dict[str, Any]:
    return {"name": type_, "summary": meaning or "", "payload": payload, **others}


def _answers() -> list[type]:
    return list(dict.fromkeys(shape for kind in FRAMES.values() for shape in kind.answers))


def _type_of(shape: type) -> str:
    (type_,) = get_args(get_type_hints(shape)["type"])
    return str(type_)


def _operation_id(type_: str) -> str:
    return type_.removeprefix("response.")


def _ref(*steps: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(steps)}


def _of_channel(type_: str) -> dict[str, str]:
    return _ref("channels", _CHANNEL, "messages", type_)


def _server() -> dict[str, Any]:
    server: dict[str, Any] = {
        "host": "{host}",
        "protocol": "ws",
        "description": "Any replica; `wss` behind what ends TLS.",
        "variables": {"host": {"default": "127.0.0.1:21100"}},
    }
    if SOCKET_SCHEMES:
        server["security"] = [_ref("components", "securitySchemes", name) for name in SOCKET_SCHEMES]
    return server
