import ssl
from collections.abc import AsyncIterator

import pytest

from andon.sim.server import SimOptions

from .door import Door, opened


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def sim(tls: ssl.SSLContext) -> AsyncIterator[Door]:
    """Run a sim that answers at once, in 12 tokens."""
    async with opened(SimOptions(rate=0, ttft_s=0, tokens=12), tls) as door:
        yield door


@pytest.fixture
async def paced(tls: ssl.SSLContext) -> AsyncIterator[Door]:
    """Run a sim of 100 tokens a second after 50 ms, whose answers outlast a test."""
    async with opened(SimOptions(rate=100, ttft_s=0.05, tokens=10_000), tls) as door:
        yield door
