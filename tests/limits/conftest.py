"""A real server for the counts."""

from collections.abc import AsyncIterator, Iterator

import pytest

from andon.database import Database
from andon.embedded import EmbeddedValkey
from tests.contract.jobs import lasting_keys


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
async def database(valkey: EmbeddedValkey) -> AsyncIterator[Database]:
    """Give an empty real server; a test that leaves a key without time to live fails."""
    async with Database(valkey.url, timeout_s=5.0).open() as database:
        await database.wait_connected(5)
        await database.call("FLUSHALL")
        yield database
        assert await lasting_keys(database) == []
