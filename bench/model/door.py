"""Door: the model server as the bench holds it, its process and its records."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from bench.ask import now_us
from bench.model.record import Seen, Totals
from bench.process import Process

_POLL_S: Final = 0.002
_decode_seen = msgspec.json.Decoder(dict[str, Seen]).decode
_decode_totals = msgspec.json.Decoder(Totals).decode


class ModelError(Exception):
    """The model server was not asked, or did not see a close, within the time given."""


class Model:
    """The running server."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._port = port
        # One connection, one question at a time.
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def upstream(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def seen(self, keys: Mapping[str, int]) -> dict[str, Seen]:
        """Return what it noted of requests, each with the tokens that it wrote after an instant."""
        return _decode_seen(await self._ask("seen", msgspec.json.encode(keys)))

    async def closed(self, keys: Mapping[str, int], within_s: float) -> dict[str, Seen]:
        """Wait until it has seen all of these closed, or ended. Raises ModelError with how many it has not."""
        deadline_us = now_us() + within_s * 1e6
        pause_s = _POLL_S
        while True:
            found = await self.seen(keys)
            over = sum(seen.closed_us is not None or seen.finished_us is not None for seen in found.values())
            if over == len(keys):
                return found
            if now_us() > deadline_us:
                raise ModelError(f"{len(keys) - over} of {len(keys)} requests were not closed within {within_s:g} s")
            await asyncio.sleep(pause_s)  # between two looks
            pause_s = min(pause_s * 2, 0.1)

    async def idle(self, within_s: float) -> None:
        """Wait until no answer is under way."""
        deadline_us = now_us() + within_s * 1e6
        while (totals := await self.totals()).open:
            if now_us() > deadline_us:
                raise ModelError(f"{totals.open} requests are still open after {within_s:g} s")
            await asyncio.sleep(0.02)  # between two looks

    async def totals(self) -> Totals:
        """Return its counts."""
        return _decode_totals(await self._ask("totals", b""))

    async def forget(self) -> None:
        """Drop all records."""
        await self._ask("forget", b"")

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, what: str, body: bytes) -> bytes:
        async with self._lock:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(b"POST /bench/%b HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (what.encode(), len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return await reader.readexactly(length)


def model_port(line: bytes) -> int | None:
    """Find the port in the line by which the server says that it is ready."""
    return int(line.split()[1]) if line.startswith(b"model.ready") else None
