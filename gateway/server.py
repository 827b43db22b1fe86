"""Server: uvicorn's server, with a drain before its end.

Owns what SIGTERM and SIGINT do to a gateway: the first drains (not ready, no new sockets, every socket closed with
1012, spread over the drain's time), then shuts down; the second does not wait. Guarantees exit code 0: uvicorn would
raise the signal that it has obeyed anew at its end, which ends the process on the spot with the gateway's nest open.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from types import FrameType

import uvicorn

from gateway.http.waits import Waits
from gateway.sockets import Sockets


class DrainingServer(uvicorn.Server):
    """One gateway's server."""

    def __init__(self, config: uvicorn.Config, sockets: Sockets, waits: Waits, *, drain_s: float) -> None:
        super().__init__(config)
        self._sockets = sockets
        self._waits = waits
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to SIGTERM and SIGINT for as long as the context lasts."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal; shut down at the second. Runs between two bytecodes of anything: it only asks."""
        if self._sockets.is_draining:
            super().handle_exit(sig, frame)
        else:
            self._sockets.is_draining = True
            self._loop.call_soon_threadsafe(self._start_drain)

    def _start_drain(self) -> None:
        self._draining = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        await asyncio.gather(self._sockets.drain(self._drain_s), self._waits.drain(self._drain_s))
        self.should_exit = True
