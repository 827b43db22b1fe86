"""Proxy: a bad network between a process and Redis, or a browser and a gateway.

Owns what happens to bytes on their way. Does not own when.

`hold` is a partition as TCP knows it: bytes wait, and arrive late, after the network has healed. `swallow` is a middle
box that forgets a connection: bytes vanish, and the connection is reset when the network heals. Both know directions.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.stack.relay import Relay, Way

__all__ = ["Proxy", "Way"]

_CHUNK_BYTES = 65536
_NONE = Way(0)


class Proxy(Relay):
    """Passes everything, until told otherwise."""

    def __init__(self, target: Path | int) -> None:
        super().__init__(target)
        # Writers through which something vanished since it was healed; some may have ended since.
        self._tainted: set[asyncio.StreamWriter] = set()
        self._forget()

    @property
    def url(self) -> str:
        """The address for ANDON_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def delay(self, seconds: float) -> None:
        """Let every chunk take so much longer, each way."""
        self._become()
        self._delay_s = seconds

    def hold(self, way: Way) -> None:
        """Deliver nothing that way until the network heals, then everything."""
        self._become()
        self._held = way

    def swallow(self, way: Way) -> None:
        """Deliver nothing that way, ever."""
        self._become()
        self._swallowed = way

    def heal(self) -> None:
        """Pass everything again; connections that lost bytes are reset."""
        self._become()
        for writer in self._tainted & self._writers:
            writer.transport.abort()
        self._tainted.clear()

    def _translation(self, way: Way) -> Callable[[bytes], bytes]:
        """Return what each chunk that one connection passes this way becomes."""
        del way
        return bytes

    def _forget(self) -> None:
        self._held, self._swallowed, self._delay_s = _NONE, _NONE, 0.0

    async def _pass(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: list[asyncio.StreamWriter]
    ) -> None:
        translate = self._translation(way)
        while data := await reader.read(_CHUNK_BYTES):
            data = translate(data)  # at once, also what vanishes then: the next chunk goes on where this one ends
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            while self._held & way:
                await self._changed.wait()
            if self._swallowed & way:
                self._tainted.update(pair)
                continue
            writer.write(data)
            await writer.drain()
        while (self._held | self._swallowed) & way:
            await self._changed.wait()  # a partition hides the end of a connection, too
        raise ConnectionResetError
