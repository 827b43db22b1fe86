from collections.abc import AsyncIterator

import pytest

from andon.settings import UpstreamTransport
from tests.worker.upstream.model_server import ModelServer, model_server
from worker.upstream.client import UpstreamClient

API_KEY = "sk-test-0123456789abcdef"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


@pytest.fixture(params=UpstreamTransport)
def transport(request: pytest.FixtureRequest) -> UpstreamTransport:
    """Each transport in turn: both keep the same promises."""
    assert isinstance(request.param, UpstreamTransport)
    return request.param


@pytest.fixture
async def client(
    server: ModelServer, transport: UpstreamTransport, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[UpstreamClient]:
    """Read from the environment, as the worker's is; leaves no connection in use and no task of its own."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    async with UpstreamClient(
        max_connections=8, read_timeout_s=0.3, connect_timeout_s=1.0, transport=transport
    ) as made:
        yield made
