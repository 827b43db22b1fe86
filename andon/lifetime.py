"""Lifetime: task groups whose single error comes out as itself.

`asyncio.TaskGroup` wraps what its body raises into a group, also when there is one error only; then a caller who
wants to say "cannot start" in one line has to look into groups in groups. Several errors at once stay a group.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Own tasks for as long as the context lasts; wait for them at its end."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


@contextlib.asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the body and cancel them at its end. The crash of one ends the body."""
    async with task_group() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
