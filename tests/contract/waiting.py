"""Waiting for a condition of another process: never a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_EVERY_S = 0.005


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], *, timeout_s: float = 5.0) -> None:
    """Look until the condition holds. Raises TimeoutError when it does not come to hold in time."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
