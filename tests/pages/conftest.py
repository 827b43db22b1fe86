"""The stack behind the pages: two gateways that serve them, and a model whose answers last some seconds."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from andon.sim.options import SimOptions
from tests.pages.chromium import browser
from tests.stack.stack import Stack

# Four seconds an answer: long enough to be reloaded, cut and stopped in the middle.
SIM = SimOptions(rate=30.0, ttft_s=0.05, tokens=120)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_page_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {"ANDON_CHAT_PAGE": "true", "ANDON_CHAT_MODEL": "sim"}
    async with Stack(tmp_path_factory.mktemp("page-stack"), gateways=2, workers=1, env=env, sim=SIM) as stack:
        yield stack


@pytest.fixture
async def page_stack(_shared_page_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the shared stack that serves the pages."""
    yield _shared_page_stack
    await _shared_page_stack.check_quiet()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Lend a browser."""
    async with browser() as running:
        yield running
