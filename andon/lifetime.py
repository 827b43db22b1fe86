"""Lifetime: task groups whose single error comes out as itself.

`asyncio.TaskGroup` wraps what its body raises into a group, also when there is one error only; then a caller who
wants to say "cannot start" in one line has to look into groups in groups. Several errors at once stay a group.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
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


class Spawned:
    """Tasks that one owner starts as it goes, and ends together. Call it to start one.

    For an owner whose life is no `async with` block of its own, so that a task group does not fit. `on_crash` is told
    of a task that failed; its siblings go on.
    """

    __slots__ = ("_on_crash", "_on_over", "_tasks")

    def __init__(self, on_crash: Callable[[asyncio.Task[None], BaseException], None]) -> None:
        self._on_crash = on_crash
        # Those that run; None while none ever has: most owners are idle, and thousands share a process.
        self._tasks: set[asyncio.Task[None]] | None = None
        # Told when the last has ended, after `end`.
        self._on_over: Callable[[], None] | None = None

    def __call__(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(coroutine)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    async def close(self, *, patience_s: float = 0) -> None:
        """Cancel all that run, after so many seconds for them to end by themselves, and wait for their ends."""
        tasks = tuple(self._tasks or ())
        if tasks and patience_s:
            await asyncio.wait(tasks, timeout=patience_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def end(self, on_over: Callable[[], None]) -> None:
        """Cancel all that run; `on_over` is called when they have ended, at once if none runs."""
        if not self._tasks:
            on_over()
            return
        self._on_over = on_over
        for task in tuple(self._tasks):
            task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        assert self._tasks is not None
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_crash(task, error)
        if self._on_over is not None and not self._tasks:
            on_over, self._on_over = self._on_over, None
            on_over()
