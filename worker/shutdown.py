"""Shutdown: what SIGTERM and SIGINT mean to a process.

Owns the two steps: the first signal asks for a drain, the second one does not wait.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator


class Shutdown:
    """A request to end, that may become a demand."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        # Set by the second signal: do not wait for runs to finish.
        self._hurried = asyncio.Event()

    @property
    def requested(self) -> bool:
        """Tell whether the process was asked to end."""
        return self._requested.is_set()

    async def wait(self) -> None:
        """Wait for the request."""
        await self._requested.wait()

    async def wait_hurried(self) -> None:
        """Wait for the demand."""
        await self._hurried.wait()

    def request(self) -> None:
        """Ask for the end; the second time, do not wait."""
        if self._requested.is_set():
            self._hurried.set()
        self._requested.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator["Shutdown"]:
        """Listen to SIGTERM and SIGINT for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request)
        try:
            yield self
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
