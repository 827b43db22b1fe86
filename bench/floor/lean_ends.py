"""`python -m bench.floor.lean_ends PORT`: the two ends of a token in Python, one process, nothing between.

Does what `ends.c` does, in two protocols on uvloop: bytes are searched for what is needed and not parsed, a frame is
written as it is found. What a token costs here, whoever relays it in Python pays, however well it is written.
"""

import asyncio
import re
import sys
from typing import Final, cast

import uvloop

# Of bench/generator/websocket.py's key.
_ACCEPT: Final = b"tHbQQegbIscHoJsGT5AoBzxczfM="
_HANDSHAKE: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + _ACCEPT + b"\r\n\r\n"
)
_TEXT: Final = 0x81
_LONG: Final = 126
# What a delta carries; the events that repeat the whole text have it in another member.
_TOKEN: Final = re.compile(rb'"delta":"(~[0-9a-f]{9})"')
_ENDED: Final = b"response.completed"
_EVENT_END: Final = b"\n\n"


class Upstream(asyncio.Protocol):
    """One answer of the model server."""

    def __init__(self, client: "Client", prompt: bytes) -> None:
        self._client = client
        self._prompt = prompt
        # The beginning of an event whose end has not come.
        self._tail = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask, unless it was stopped meanwhile."""
        self.transport = cast("asyncio.Transport", transport)
        if not self._client.waits_for(self):
            self.transport.abort()
            return
        body = b'{"model":"bench","stream":true,"input":"%b"}' % self._prompt
        self.transport.write(
            b"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        """Hand on the tokens of whole events; HTTP's chunk sizes between do no harm."""
        events, end, self._tail = (self._tail + data if self._tail else data).rpartition(_EVENT_END)
        if not end:
            return
        if tokens := _TOKEN.findall(events):
            self._client.send(b"t " + b"".join(tokens))
        if _ENDED in events:
            self._client.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell, if it was not closed from here."""
        del exc
        self._client.answered(self)


class Client(asyncio.Protocol):
    """One WebSocket; one answer at a time."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._transport: asyncio.Transport
        self._is_open = False
        self._received = b""
        self._answer: Upstream | None = None
        # Held, lest it be collected as it connects.
        self._asking: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the handshake."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take whole frames."""
        self._received += data
        if not self._is_open:
            _, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open, self._received = True, rest
            self._transport.write(_HANDSHAKE)
        while (text := self._next_text()) is not None:
            self._take(text)

    def _next_text(self) -> bytes | None:
        """Return the next text; nothing for a control frame, None where no frame is whole."""
        head = self._received
        if len(head) < 2:
            return None
        length, start = head[1] & 0x7F, 2
        if length == _LONG:
            length, start = int.from_bytes(head[2:4]), 4
        end = start + 4 + length
        if len(head) < end:
            return None
        mask, masked = head[start : start + 4], head[start + 4 : end]
        self._received = head[end:]
        if head[0] != _TEXT:
            return b""
        return bytes(byte ^ mask[at & 3] for at, byte in enumerate(masked))

    def _take(self, text: bytes) -> None:
        if text.startswith(b"x"):
            self.answered()
        elif text and self._answer is None:
            answer = self._answer = Upstream(self, text[2:])
            self.send(b"s 0")
            loop = asyncio.get_running_loop()
            self._asking = loop.create_task(loop.create_connection(lambda: answer, "127.0.0.1", self._upstream_port))

    def send(self, text: bytes) -> None:
        """Write a frame."""
        size = len(text)
        head = bytes((_TEXT, size)) if size < _LONG else bytes((_TEXT, _LONG, size >> 8, size & 0xFF))
        self._transport.write(head + text)

    def waits_for(self, answer: Upstream) -> bool:
        """Tell whether this answer is still wanted."""
        return self._answer is answer

    def answered(self, by: Upstream | None = None) -> None:
        """End the answer. `by`: one whose connection is gone; of an earlier answer, it says nothing."""
        answer = self._answer
        if answer is None or by not in {None, answer}:
            return
        self._answer = None
        self.send(b"e")
        if answer.transport is not None:
            answer.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the model server's connection as well."""
        del exc
        if self._answer is not None and self._answer.transport is not None:
            self._answer.transport.abort()
        self._answer = None


async def main(upstream_port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Client(upstream_port), "127.0.0.1", 0)
    print(f"floor.ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
