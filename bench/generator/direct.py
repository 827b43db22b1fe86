"""Direct: the model server called without anybody between, on a connection that is kept.

What a contender adds is measured against this. Leaner than any client library: so what is added is not understated.
"""

import asyncio
from array import array
from typing import Final, cast
from urllib.parse import urlsplit

from bench.ask import MARK, Ask, first_age_us, now_us

_ENDING: Final = b"0\r\n\r\n"
_DONE: Final = b"response.output_text.done"


class Direct(asyncio.Protocol):
    """One connection to the model server. One answer at a time."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self.asked_us = 0
        self.first_us = 0
        self.ages_us = array("q")
        self.tokens = 0
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, upstream: str) -> "Direct":
        """Connect to the model server, whose base URL this is."""
        loop, url = asyncio.get_running_loop(), urlsplit(upstream)
        assert url.hostname is not None
        assert url.port is not None
        _, direct = await loop.create_connection(lambda: cls(f"{url.path}/responses"), url.hostname, url.port)
        return direct

    async def ask(self, ask: Ask) -> None:
        """Ask, and return at the answer's end."""
        assert self._transport is not None
        body = b'{"model":"bench","stream":true,"input":"%b"}' % ask.prompt.encode()
        head = f"POST {self._target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        self._ended = asyncio.get_running_loop().create_future()
        self.first_us = 0
        self.asked_us = now_us()
        self._transport.write(head + body)
        await self._ended

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Note when tokens came. The texts that the ending repeats are no tokens."""
        at_us = now_us()
        tokens = data.partition(_DONE)[0]
        count = tokens.count(MARK)
        if count:
            self.tokens += count
            self.ages_us.append(first_age_us(tokens, at_us))
            self.first_us = self.first_us or at_us
        if data.endswith(_ENDING) and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(exc or ConnectionResetError("the model server closed"))
