import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from andon.client import CannotConnect, ConnectionLost, connect, endpoint

Handler = Callable[[ServerConnection], Awaitable[None]]
Refuse = Callable[[ServerConnection, Request], Response | None]


@asynccontextmanager
async def gateway(handler: Handler, refuse: Refuse | None = None) -> AsyncIterator[str]:
    """Stand in for a gateway, and do what it is told."""
    async with serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/responses"


def closing(code: int, reason: str) -> Handler:
    async def handle(socket: ServerConnection) -> None:
        await socket.send('{"type":"response.created"}')
        await socket.close(code, reason)

    return handle


async def read_all(url: str) -> list[dict[str, Any]]:
    async with connect(url) as client:
        return [event async for event in client]


async def test_frames_carry_what_was_asked_and_no_more() -> None:
    """Create and cancel go out as the protocol has them; what was not given is not sent."""
    received: list[Any] = []

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        received.append((socket.request.path, socket.request.headers.get("Authorization")))
        received.extend([json.loads(await socket.recv()) for _ in range(3)])
        await socket.close(1000, "stopped")

    async with gateway(handle) as url, connect(url, session="a b", on_stop="keep", token="t0k") as client:
        await client.create(model="sim", input="hi", stream_id="l", max_output_tokens=None)
        await client.cancel(response_id="resp_1", reason="why", event_id="e")
        await client.cancel()
        assert [event async for event in client] == []
    assert received == [
        ("/v1/responses?session=a+b&on_stop=keep", "Bearer t0k"),
        {"type": "response.create", "model": "sim", "input": "hi", "stream_id": "l"},
        {"type": "response.cancel", "response_id": "resp_1", "reason": "why", "event_id": "e"},
        {"type": "response.cancel"},
    ]


async def test_iteration_ends_after_close_1000() -> None:
    """Done or stopped is an end, not an error."""
    async with gateway(closing(1000, "stopped")) as url:
        assert await read_all(url) == [{"type": "response.created"}]


@pytest.mark.parametrize(("code", "reason"), [(1001, ""), (1011, "our fault"), (1012, "restart"), (3008, "too slow")])
async def test_any_other_close_is_a_loss(code: int, reason: str) -> None:
    """1001 too: a cut stream is never taken for a whole one."""
    async with gateway(closing(code, reason)) as url:
        with pytest.raises(ConnectionLost) as lost:
            await read_all(url)
    assert (lost.value.code, lost.value.reason) == (code, reason)


async def test_a_cut_connection_is_a_loss() -> None:
    """A server that vanishes is 1006, as everywhere."""

    async def handle(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with gateway(handle) as url:
        with pytest.raises(ConnectionLost) as lost:
            await read_all(url)
    assert lost.value.code == 1006


async def test_a_refused_handshake_says_why() -> None:
    """The status, and the message of an error body in the API's shape."""

    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(HTTPStatus.UNAUTHORIZED, '{"error": {"message": "the token has expired"}}')

    async with gateway(closing(1000, ""), refuse) as url:
        with pytest.raises(CannotConnect, match=r"HTTP 401: the token has expired$"):
            await read_all(url)


async def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for the world, named by the environment, is not asked for the way to this machine."""
    for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with gateway(closing(1000, "")) as url:
        assert await read_all(url) == [{"type": "response.created"}]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("ws://h:1/v1/responses", "ws://h:1/v1/responses?session=s"),
        ("http://h:1", "ws://h:1/v1/responses?session=s"),
        ("https://h/", "wss://h/v1/responses?session=s"),
        ("wss://h/prefix/v1/responses?a=1", "wss://h/prefix/v1/responses?a=1&session=s"),
    ],
)
def test_what_people_paste_works(given: str, used: str) -> None:
    """An http address, or a bare host, becomes the endpoint on it; a query is kept."""
    assert endpoint(given, session="s", on_stop=None) == used
