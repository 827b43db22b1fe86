"""The stacks that tests share, one a test process, started at first need; and the official clients of them."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from andon.database import Database
from andon.embedded import EmbeddedValkey
from tests.contract.jobs import lasting_keys
from tests.node.node import Node, find
from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """Lend a real server, one a test process."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
async def database(valkey: EmbeddedValkey) -> AsyncIterator[Database]:
    """Give an empty real server; a test that leaves a key without time to live fails."""
    async with Database(valkey.url, timeout_s=5.0).open() as database:
        await database.wait_connected(15)
        await database.call("FLUSHALL")
        yield database
        assert await lasting_keys(database) == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("stack"), gateways=2, workers=1) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_chat_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {"ANDON_UPSTREAM_API": "chat"}
    async with Stack(tmp_path_factory.mktemp("chat-stack"), gateways=1, workers=1, env=env) as stack:
        yield stack


@pytest.fixture
async def stack(_shared_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack of two gateways and one worker: nothing in it is ended or set differently."""
    yield _shared_stack
    await _shared_stack.check_quiet()


@pytest.fixture
async def chat_stack(_shared_chat_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack whose model server is asked through Chat Completions."""
    yield _shared_chat_stack
    await _shared_chat_stack.check_quiet()


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractAsyncContextManager[Stack]]:
    """Make a stack of the test's own, whose processes it may end and whose settings it chooses."""

    def make(*, gateways: int = 2, workers: int = 1, **env: str) -> Stack:
        return Stack(tmp_path_factory.mktemp("own-stack"), gateways=gateways, workers=workers, env=env)

    return make


@pytest.fixture(scope="session")
def node() -> Node:
    """Lend the pinned Node with its npm packages; `make test` has installed them, else this does."""
    return find()


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    """Make once what each client would make anew, and what goes unused on plain HTTP."""
    return ssl.create_default_context()


@pytest.fixture
async def sdk(stack: Stack, tls: ssl.SSLContext) -> AsyncIterator[AsyncOpenAI]:
    """Lend the official SDK, pointed at the first replica."""
    async with (
        DefaultAsyncHttpxClient(verify=tls) as http,
        AsyncOpenAI(base_url=f"{stack.gateways[0].http}/v1", api_key="x", http_client=http) as client,
    ):
        yield client


@pytest.fixture
async def other_sdk(stack: Stack, tls: ssl.SSLContext) -> AsyncIterator[AsyncOpenAI]:
    """Lend the official SDK, pointed at the second replica."""
    async with (
        DefaultAsyncHttpxClient(verify=tls) as http,
        AsyncOpenAI(base_url=f"{stack.gateways[1].http}/v1", api_key="x", http_client=http) as client,
    ):
        yield client
