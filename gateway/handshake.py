"""Handshake: how a WebSocket is let in, or refused.

Owns what a client that is refused gets to see. Most see the HTTP status and its body. A browser sees neither, whatever
the status, so one that offered our subprotocol is let in, told by an `error` event, and closed with the code of that
error: it can then tell a bad token from a dead network.
"""

import contextlib

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from andon.closecodes import close_code_of
from andon.errors import RequestError, RetryLaterError, error_event
from andon.frames import encode
from gateway.auth.token import SUBPROTOCOL, offers_subprotocol
from gateway.http.refusal import refusal_headers


async def accept(websocket: WebSocket) -> None:
    """Let a client in; of what it offered, our subprotocol is selected, and never the one that holds its token."""
    await websocket.accept(SUBPROTOCOL if offers_subprotocol(websocket) else None)


async def refuse(websocket: WebSocket, error: RequestError | RetryLaterError) -> None:
    """Refuse a handshake. A client that has left meanwhile is no error."""
    body = encode(error_event(error))
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        if offers_subprotocol(websocket):
            await accept(websocket)
            await websocket.send_text(body.decode())
            await websocket.close(close_code_of(error), error.code)
        else:
            headers = refusal_headers(error)
            await websocket.send_denial_response(Response(body, error.status, headers, "application/json"))
