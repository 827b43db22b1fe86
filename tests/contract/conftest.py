from collections.abc import AsyncIterator

import pytest

from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.settings import Settings
from andon.store import Store
from tests.contract.fake import FakeDatabase
from tests.contract.jobs import lasting_keys


@pytest.fixture
def real_store(database: Database) -> Store:
    return Store(database, Settings())


@pytest.fixture(params=["valkey", "fakeredis"])
async def store(request: pytest.FixtureRequest, valkey: EmbeddedValkey) -> AsyncIterator[Store]:
    """Give the scripts on an empty real server, and once more on fakeredis."""
    if request.param == "fakeredis":
        fake = FakeDatabase()
        yield Store(fake, Settings())
        assert await lasting_keys(fake) == []
        return
    async with Database(valkey.url, timeout_s=5.0).open() as real:
        await real.wait_connected(15)
        await real.call("FLUSHALL")
        yield Store(real, Settings())
        assert await lasting_keys(real) == []
