"""The stacks of these tests: one whose clients need tokens, shared; and clients of its doors."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.auth.tokens import JWT_ENV
from tests.stack.stack import Stack

# Pages of this origin may call the shared stack.
PAGE = "https://app.example.com"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _token_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {**JWT_ENV, "ANDON_AUTH_GRACE_S": "1", "ANDON_ALLOWED_ORIGINS": PAGE}
    async with Stack(tmp_path_factory.mktemp("token-stack"), gateways=2, workers=1, env=env) as stack:
        yield stack


@pytest.fixture
async def stack(_token_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack with `ANDON_AUTH=jwt`, leeway 0 s and grace 1 s: nothing in it is ended."""
    yield _token_stack
    await _token_stack.check_quiet()


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a plain client of the first replica, without a token of its own."""
    async with httpx2.AsyncClient(
        base_url=stack.gateways[0].http, verify=False, trust_env=False, timeout=20.0
    ) as client:
        yield client
