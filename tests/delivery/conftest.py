"""The stack whose things do not last: for what expires, and for readers that are too slow."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stack.stack import Stack

# Turns last two seconds, and logs eight, for those that lag read from them; a reader is dead after eight, too, and
# slow if it takes less than an outbox in three.
BRIEF = {
    "ANDON_LOG_TTL_S": "8",
    "ANDON_SESSION_TTL_S": "2",
    "ANDON_WS_PING_INTERVAL_S": "1",
    "ANDON_WS_PING_TIMEOUT_S": "7",
    "ANDON_SLOW_READER_S": "3",
    "ANDON_OUTBOX_BYTES": str(512 * 1024),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_brief_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("brief-stack"), gateways=1, workers=1, env=BRIEF) as stack:
        yield stack


@pytest.fixture
async def brief_stack(_shared_brief_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack in which nothing lasts long."""
    yield _shared_brief_stack
    await _shared_brief_stack.check_quiet()


@pytest.fixture
def session() -> str:
    """Name a session that no other test has."""
    return f"delivery-{uuid.uuid4().hex}"
