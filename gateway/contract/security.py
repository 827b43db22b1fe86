"""Security: how a caller says who it is, for both documents.

Owns their words. What holds is `ANDON_AUTH`: with `none` no scheme is asked for, and a document says what may be asked.
A scheme here is in the document of its door, and asked for by everything there that is not declared open.
"""

from typing import Any, Final

# Name of each scheme to its Security Scheme Object.
HTTP_SCHEMES: Final[dict[str, dict[str, Any]]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A JWT or a static key, as `ANDON_AUTH` says; with `none` it is not looked at.",
    }
}
SOCKET_SCHEMES: Final[dict[str, dict[str, Any]]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A JWT or a static key, as `ANDON_AUTH` says; with `none` it is not looked at.",
    },
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "For browsers: `andon.v1, bearer.TOKEN`. The gateway selects `andon.v1`.",
    },
}
