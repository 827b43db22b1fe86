"""Channel: one socket of the AsyncAPI document: its address, what is said on it, and why it ends.

Owns the shape that both channels share. What each says is told by `responses_channel` and `feed_channel`.
"""

from collections.abc import Iterable
from typing import Any, Final, get_args, get_type_hints

import msgspec

from andon.closecodes import CLOSE_CODES, CloseCode
from andon.events import ErrorEvent
from andon.member import Member
from gateway.contract.openapi import STATUSES
from gateway.contract.schemas import Schemas

# What any handshake may be refused with: a bad query or a token in it, who may not, and not now.
HANDSHAKE_REFUSED: Final = (400, 401, 403, 503)


class Channel(msgspec.Struct, frozen=True):
    """One channel. `messages` and `operations` by their names in the document."""

    name: str
    address: str
    meaning: str
    query: tuple[Member[Any], ...]
    messages: dict[str, dict[str, Any]]
    operations: dict[str, dict[str, Any]]
    close_codes: tuple[CloseCode, ...]
    refusals: tuple[int, ...] = HANDSHAKE_REFUSED

    def described(self, schemas: Schemas) -> dict[str, Any]:
        """Return its Channel Object."""
        return {
            "address": self.address,
            "description": self.meaning,
            "messages": {name: ref("components", "messages", name) for name in self.messages},
            "bindings": {
                "ws": {
                    "method": "GET",
                    # A query has no null.
                    "query": {
                        "type": "object",
                        "properties": {member.name: schemas.member(member, may_be_null=False) for member in self.query},
                    },
                    "bindingVersion": "0.1.0",
                }
            },
            # Instead of an upgrade; a client that offers the subprotocol gets the `error` on the socket, then a close.
            "x-refusals": {
                "statuses": {str(status): STATUSES[status] for status in sorted(self.refusals)},
                "body": schemas.of(ErrorEvent),
            },
            "x-close-codes": {str(int(code)): _told(code) for code in self.close_codes},
        }


def _told(code: CloseCode) -> dict[str, str]:
    reason, meaning, advice = CLOSE_CODES[code]
    return {"reason": reason, "meaning": meaning, "advice": advice}


def message(type_: str, payload: dict[str, Any], meaning: str | None, **others: Any) -> dict[str, Any]:
    """Describe a message by its type."""
    return {"name": type_, "summary": meaning or "", "payload": payload, **others}


def messages_of(shapes: Iterable[type], schemas: Schemas) -> dict[str, dict[str, Any]]:
    """Describe messages that have a type of ours."""
    return {type_of(shape): message(type_of(shape), schemas.of(shape), shape.__doc__) for shape in shapes}


def operation(channel: str, action: str, meaning: str, messages: Iterable[str], **others: Any) -> dict[str, Any]:
    """Describe an operation. `action`: the gateway's, `receive` or `send`."""
    return {
        "action": action,
        "summary": meaning,
        "channel": ref("channels", channel),
        "messages": [of_channel(channel, type_) for type_ in messages],
        **others,
    }


def type_of(shape: type) -> str:
    """Return the `type` that a message of this shape has."""
    (type_,) = get_args(get_type_hints(shape)["type"])
    return str(type_)


def of_channel(channel: str, type_: str) -> dict[str, str]:
    """Refer to a message of a channel."""
    return ref("channels", channel, "messages", type_)


def ref(*steps: str) -> dict[str, str]:
    """Refer to a place in the document."""
    return {"$ref": "#/" + "/".join(steps)}
