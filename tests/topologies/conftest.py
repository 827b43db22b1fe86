"""Stacks on Sentinel and on a cluster: shared ones that nothing is broken in, and a test's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio

from tests.stack.stack import Stack
from tests.stack.topologies import servers_of

BreakableStack = Callable[[str], AbstractAsyncContextManager[Stack]]


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["sentinel", "cluster"])
async def _shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    logs = tmp_path_factory.mktemp(request.param)
    async with Stack(logs, gateways=2, workers=1, servers=servers_of(request.param)) as stack:
        yield stack


@pytest.fixture
async def spread(_shared: Stack) -> AsyncIterator[Stack]:
    """Lend two gateways and a worker on several servers: nothing in it is ended, moved or set differently."""
    yield _shared
    await _shared.check_quiet()


@pytest.fixture
def breakable(tmp_path_factory: pytest.TempPathFactory) -> BreakableStack:
    """Make two gateways and a worker on servers of a kind, which the test may break."""

    def make(kind: str) -> Stack:
        return Stack(tmp_path_factory.mktemp(kind), gateways=2, workers=1, servers=servers_of(kind))

    return make
