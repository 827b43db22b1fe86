"""Shared reads: what several want at the same moment is read once.

Owns reads that are under way, by key. Guarantees: whoever asks gets the result of a read that began before or when it
asked and ended after; cancelling one who waits disturbs no other.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Reads of one kind."""

    def __init__(self, read: Callable[[K], Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def read(self, key: K) -> V:
        """Return what the read of this key finds, or raise what it raises. Cancelling the wait is safe."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.get_running_loop().create_task(self._read(key))
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task)

    def _over(self, key: K, task: "asyncio.Task[V]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waited for it may be gone
