"""What must be true of a client's connections once its streams were left."""

import asyncio
from typing import Any

from tests.worker.upstream.model_server import Exchange
from worker.upstream.client import UpstreamClient

GONE_WITHIN_S = 0.1


def pool_of(client: UpstreamClient) -> Any:
    """Return the connection pool: private to its library, but what leaks is seen nowhere else."""
    return client._http._transport._pool  # type: ignore[attr-defined]  # noqa: SLF001


def assert_nothing_in_use(client: UpstreamClient) -> None:
    pool = pool_of(client)
    assert pool._requests == []  # noqa: SLF001
    assert all(connection.is_idle() for connection in pool.connections)


async def until_settled(client: UpstreamClient) -> None:
    """Wait for the client's own tasks, which close what was left."""
    async with asyncio.timeout(1):
        while client._tasks:  # noqa: SLF001
            await asyncio.wait(client._tasks)  # noqa: SLF001


async def assert_gone(exchange: Exchange) -> None:
    async with asyncio.timeout(GONE_WITHIN_S):
        await exchange.client_gone.wait()
