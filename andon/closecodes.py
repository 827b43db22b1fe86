"""Close codes: why a socket ends, in one table.

The numbers below 1016 are RFC 6455's; those from 3000 are registered with IANA. What the official SDK does with
each decides their use: 1000 and 1001 end its iteration cleanly (so 1001 never goes out while a response is live on
that socket), 1011 to 1013 let it reconnect, the rest raise.
"""

from enum import IntEnum
from typing import Final

from andon.errors import (
    AndonError,
    ForbiddenError,
    GoneError,
    RequestError,
    RestartingError,
    RetryLaterError,
    UnauthorizedError,
)


class CloseCode(IntEnum):
    """Every code that a gateway sends."""

    DONE = 1000
    GOING_AWAY = 1001
    INVALID_TEXT = 1007
    FRAME_TOO_BIG = 1009
    INTERNAL = 1011
    RESTARTING = 1012
    OVERLOADED = 1013
    UNAUTHORIZED = 3000
    FORBIDDEN = 3003
    TOO_SLOW = 3008


STOPPED_REASON: Final = "stopped"

# code: (reason as sent where the case has no closer one, meaning, what a client should do)
CLOSE_CODES: Final[dict[CloseCode, tuple[str, str, str]]] = {
    CloseCode.DONE: ("done", "Done, or stopped (reason `stopped`).", "Nothing."),
    CloseCode.GOING_AWAY: ("going_away", "The server goes away; nothing was live on this socket.", "Reconnect."),
    CloseCode.INVALID_TEXT: ("invalid_text", "A text frame was no UTF-8.", "Send JSON as UTF-8."),
    CloseCode.FRAME_TOO_BIG: ("frame_too_big", "A frame exceeded `ANDON_MAX_FRAME_BYTES`.", "Send less in one frame."),
    CloseCode.INTERNAL: ("internal", "Our fault, or Redis lost the job (`job_lost`).", "Create anew."),
    CloseCode.RESTARTING: ("restarting", "This replica restarts; jobs go on.", "Reconnect and retrieve."),
    CloseCode.OVERLOADED: (
        "overloaded",
        "This replica has no room, or the caller has all its sockets.",
        "Reconnect later, with back-off.",
    ),
    CloseCode.UNAUTHORIZED: (
        "unauthorized",
        "No valid token; it expired (`token_expired`), or its key was revoked (`key_revoked`).",
        "Get a token, then reconnect and retrieve.",
    ),
    CloseCode.FORBIDDEN: (
        "forbidden",
        "The token, or the page's origin, may not; or the handshake was wrong (the reason is the error's code).",
        "Do not retry.",
    ),
    CloseCode.TOO_SLOW: ("too_slow", "The client read too slowly for too long.", "Reconnect and retrieve."),
}

# How a handshake that is refused ends for a client that cannot see an HTTP status. The nearest class counts.
_REFUSED_WITH: Final[dict[type[AndonError], CloseCode]] = {
    UnauthorizedError: CloseCode.UNAUTHORIZED,
    ForbiddenError: CloseCode.FORBIDDEN,
    RequestError: CloseCode.FORBIDDEN,
    RestartingError: CloseCode.RESTARTING,
    RetryLaterError: CloseCode.OVERLOADED,
    GoneError: CloseCode.INTERNAL,
}


def close_code_of(error: AndonError) -> CloseCode:
    """Return the code that an error closes a socket with."""
    return next((_REFUSED_WITH[kind] for kind in type(error).__mro__ if kind in _REFUSED_WITH), CloseCode.INTERNAL)
