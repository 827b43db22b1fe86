"""AsyncAPI: the document of the sockets (AsyncAPI 3.0).

Owns its shape. Each socket is described by its channel: `responses_channel` and `feed_channel`.
"""

from typing import Any, Final

import andon
from andon.member import Member
from gateway.contract.channel import ref
from gateway.contract.feed_channel import feed_channel
from gateway.contract.responses_channel import responses_channel
from gateway.contract.schemas import Schemas
from gateway.contract.security import SOCKET_SCHEMES

_ABOUT: Final = (
    "OpenAI's Responses WebSocket mode, plus stop and resume; and what operators see. One JSON object a text frame. "
    "Objects are open: members that are not listed here are OpenAI's, or the model server's, and pass as they are."
)


def asyncapi(query: tuple[Member[Any], ...]) -> dict[str, Any]:
    """Build the document. `query`: the parameters of the handshake of `/v1/responses`."""
    schemas = Schemas()
    channels = (responses_channel(query, schemas), feed_channel(schemas))
    described = {channel.name: channel.described(schemas) for channel in channels}
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
        "channels": described,
        "operations": {name: each for channel in channels for name, each in channel.operations.items()},
        "components": {
            "messages": {name: each for channel in channels for name, each in channel.messages.items()},
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": SOCKET_SCHEMES,
        },
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{host}",
        "protocol": "ws",
        "description": "Any replica; `wss` behind what ends TLS.",
        "variables": {"host": {"default": "127.0.0.1:21100"}},
        "security": [ref("components", "securitySchemes", name) for name in SOCKET_SCHEMES],
    }
