"""The plain client of the HTTP door, that sees status, headers and bytes."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.stack.stack import Stack


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a plain client of the first replica."""
    async with httpx2.AsyncClient(
        base_url=stack.gateways[0].http, verify=False, trust_env=False, timeout=20.0
    ) as client:
        yield client
