"""A stack whose worker listens, too."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.metrics.scrape import Target, of_gateway, of_worker
from tests.stack.stack import Stack

_ENV = {"ANDON_METRICS_PORT": "0", "ANDON_SLOW_READER_S": "2", "ANDON_OUTBOX_BYTES": str(64 * 1024)}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_metered_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("metered-stack"), gateways=1, workers=1, env=_ENV) as stack:
        yield stack


@pytest.fixture
async def metered(_shared_metered_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack of one gateway and one worker, both of which can be scraped."""
    yield _shared_metered_stack
    await _shared_metered_stack.check_quiet()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_bare_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {"ANDON_METRICS_PORT": "0", "ANDON_DRAIN_S": "60"}
    async with Stack(tmp_path_factory.mktemp("bare-stack"), gateways=1, workers=0, env=env) as stack:
        yield stack


@pytest.fixture
async def bare(_shared_bare_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack without a worker; whoever starts one ends it."""
    yield _shared_bare_stack
    await _shared_bare_stack.check_quiet()
    assert all(worker.exit_code is not None for worker in _shared_bare_stack.workers)


@pytest.fixture
def gateway(metered: Stack) -> Target:
    """Lend its gateway, to be scraped."""
    return of_gateway(metered.gateways[0])


@pytest.fixture
async def worker(metered: Stack) -> Target:
    """Lend its worker, to be scraped."""
    return await of_worker(metered.workers[0])


@pytest.fixture
def session() -> str:
    """Name a session that no other test has."""
    return f"metrics-{uuid.uuid4().hex}"
