"""A database on an event loop in a thread of its own, for tests that are not coroutines themselves."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from andon.database import Database

T = TypeVar("T")


class LoopThread:
    """Runs coroutines against an open database from synchronous code."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(url),))
        self.database: Database

    async def _serve(self, url: str) -> None:
        async with Database(url, timeout_s=5.0).open() as self.database:
            await self.database.wait_connected(5)
            self._ready.set()
            await self._over.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def __enter__(self) -> Self:
        """Start the loop and connect."""
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection and end the loop."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()
