"""Handshakes: what a gateway says to one, as a program sees it and as a browser does."""

import contextlib
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

Refused = tuple[int, str, str | None]


async def by_header(url: str, token: str | None, *, origin: str | None = None, **headers: str) -> Refused | None:
    """Open a socket as a program does; return status, code and WWW-Authenticate of a refusal, None if let in."""
    told = headers if token is None else {"Authorization": f"Bearer {token}", **headers}
    page = None if origin is None else Origin(origin)
    try:
        async with connect(url, proxy=None, additional_headers=told, origin=page):
            return None
    except InvalidStatus as refused:
        body = msgspec.json.decode(refused.response.body)
        return refused.response.status_code, body["error"]["code"], refused.response.headers.get("WWW-Authenticate")


async def as_browser(
    url: str, *offered: str, origin: str | None = None
) -> tuple[dict[str, Any], tuple[int, str]] | None:
    """Offer subprotocols as a browser does; return the `error` event and the close of a refusal, None if let in."""
    words = [Subprotocol(word) for word in offered]
    page = None if origin is None else Origin(origin)
    async with connect(url, proxy=None, subprotocols=words, origin=page) as socket:
        assert socket.subprotocol == "andon.v1"
        with contextlib.suppress(ConnectionClosed):  # what was said before the close is read all the same
            await socket.send('{"type":"ping","event_id":"in"}')
        event = msgspec.json.decode(await socket.recv())
        if event["type"] == "pong":
            return None
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None  # noqa: PT017  the close is the answer, not a failure
            return event, (closed.rcvd.code, closed.rcvd.reason)
    raise AssertionError("not closed after the error")
