import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum

import pytest

from andon.settings import UpstreamTransport
from tests.worker.upstream.connections import transport_of, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer, model_server
from worker.upstream.client import UpstreamClient

API_KEY = "sk-test-0123456789abcdef"


SETTLED_WITHIN_S = 15


class Way(StrEnum):
    """How a request gets to the server: by which transport, and whether the SDK makes it."""

    PLAIN = "plain"
    PUSH = "push"
    PREPARED = "prepared"

    @property
    def transport(self) -> UpstreamTransport:
        """The transport."""
        return UpstreamTransport.PLAIN if self is Way.PLAIN else UpstreamTransport.PUSH


async def prepare(client: UpstreamClient, server: ModelServer) -> None:
    """Ask once, so that the next requests are prepared ones; then the server has seen nothing."""

    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.end()

    before, server.script = server.script, answer
    for path in ("/responses", "/chat/completions"):
        async with client.stream(path, {}) as stream:
            assert [chunk async for chunk in stream] == []
    server.script = before
    await until_settled(client)
    await transport_of(client).aclose()
    async with asyncio.timeout(SETTLED_WITHIN_S):
        await server.until_at_most(0)
    server.connections = 0
    server.exchanges.clear()
    while not server.requests.empty():
        server.requests.get_nowait()


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture(params=UpstreamTransport)
def transport(request: pytest.FixtureRequest) -> UpstreamTransport:
    """Each transport in turn: both keep the same promises."""
    assert isinstance(request.param, UpstreamTransport)
    return request.param


@pytest.fixture(params=Way)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way in turn: all keep the same promises."""
    assert isinstance(request.param, Way)
    return request.param


@pytest.fixture
async def client(server: ModelServer, way: Way, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UpstreamClient]:
    """Read from the environment, as the worker's is; leaves no connection in use and no task of its own."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    async with UpstreamClient(
        max_connections=8, read_timeout_s=0.3, connect_timeout_s=1.0, transport=way.transport
    ) as made:
        if way is Way.PREPARED:
            await prepare(made, server)
        yield made
