"""Refuse: a handshake that is answered with an error.

A plain client gets it as the HTTP answer. A browser shows its script nothing of such an answer; one that offered
`andon.v1` is let in for as long as it takes to be told.
"""

import math
from typing import Final

from starlette.responses import Response
from starlette.websockets import WebSocket

from andon.closecodes import CloseCode
from andon.errors import RetryLaterError, error_event
from andon.frames import encode

_SUBPROTOCOL: Final = "andon.v1"


async def refuse(websocket: WebSocket, error: RetryLaterError) -> None:
    """Refuse a handshake that a repeat may see accepted."""
    body = encode(error_event(error))
    if _SUBPROTOCOL in websocket.scope["subprotocols"]:
        await websocket.accept(subprotocol=_SUBPROTOCOL)
        await websocket.send_text(body.decode())
        await websocket.close(CloseCode.OVERLOADED, error.code)
        return
    headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    await websocket.send_denial_response(Response(body, int(error.status), headers, "application/json"))
