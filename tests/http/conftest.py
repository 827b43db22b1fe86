"""The clients of the HTTP door: the official SDK, and a plain one that sees status, headers and bytes."""

import ssl
from collections.abc import AsyncIterator

import httpx2
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def tls() -> ssl.SSLContext:
    """Make once what each client would make anew, and what goes unused on plain HTTP."""
    return ssl.create_default_context()


@pytest.fixture
async def sdk(stack: Stack, tls: ssl.SSLContext) -> AsyncIterator[AsyncOpenAI]:
    """Lend the official SDK, pointed at the first replica."""
    async with (
        DefaultAsyncHttpxClient(verify=tls) as http,
        AsyncOpenAI(base_url=f"{stack.gateways[0].http}/v1", api_key="x", http_client=http) as client,
    ):
        yield client


@pytest.fixture
async def other_sdk(stack: Stack, tls: ssl.SSLContext) -> AsyncIterator[AsyncOpenAI]:
    """Lend the official SDK, pointed at the second replica."""
    async with (
        DefaultAsyncHttpxClient(verify=tls) as http,
        AsyncOpenAI(base_url=f"{stack.gateways[1].http}/v1", api_key="x", http_client=http) as client,
    ):
        yield client


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a plain client of the first replica."""
    async with httpx2.AsyncClient(
        base_url=stack.gateways[0].http, verify=False, trust_env=False, timeout=20.0
    ) as client:
        yield client
