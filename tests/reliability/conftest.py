"""The servers that these tests share, and a network to break."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from andon.database import Database
from andon.embedded import EmbeddedValkey
from tests.chaos.proxy import Proxy
from tests.reliability.shop import Shop
from tests.stack.process import Process
from tests.stack.simulator import Meter


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def meter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Meter]:
    """Start the model server, and give its meter."""
    argv = [sys.executable, "-m", "tests.stack.simulator"]
    sim = Process("sim", argv, dict(os.environ), tmp_path_factory.mktemp("sim"))
    try:
        yield Meter((await sim.ready("sim.ready"))["base_url"])
    finally:
        await sim.stop()
        sim.close()


@pytest.fixture
async def shop(valkey: EmbeddedValkey, meter: Meter) -> AsyncIterator[Shop]:
    """Give an empty server; a test that leaves a request open at the model server fails."""
    async with Database(valkey.url, timeout_s=2.0).open() as database:
        await database.wait_connected(15)
        await database.call("FLUSHALL")
        yield Shop(valkey.url, database, meter)
    if (await meter.read()).open:
        assert (await meter.read(until="idle")).open == 0


@pytest.fixture
async def network(valkey: EmbeddedValkey) -> AsyncIterator[Proxy]:
    """Give a network between a worker and the server."""
    async with Proxy(Path(valkey.url.removeprefix("unix://"))).open() as proxy:
        yield proxy
