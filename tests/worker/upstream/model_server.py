"""A model server for tests: real TCP, real HTTP/1.1, and a script for what it does with each connection.

It tells when a client's end of a connection was seen, which is what a stop is about.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec


class Exchange:
    """One connection's request, and the means to answer it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body: Any = None
        self.client_gone = asyncio.Event()

    async def read_request(self) -> bool:
        """Read a request; False at the end of the connection."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        lines = head.decode().split("\r\n")
        self.path = lines[0].split(" ")[1]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        body = await self._reader.readexactly(int(self.headers.get("content-length", "0")))
        self.body = msgspec.json.decode(body) if body else None
        return True

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def start(self, status: int = 200, kind: str = "text/event-stream", extra: str = "") -> None:
        """Send the head of a chunked answer."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n{extra}\r\n"
        await self.send(head.encode())

    async def chunk(self, data: bytes) -> None:
        """Send one chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, data: Any, name: str | None = None) -> None:
        """Send one server-sent event."""
        raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
        await self.chunk((f"event: {name}\n".encode() if name else b"") + b"data: " + raw + b"\n\n")

    async def end(self) -> None:
        """End the chunked answer."""
        await self.send(b"0\r\n\r\n")

    async def answer(self, status: int, body: bytes, extra: str = "", kind: str = "application/json") -> None:
        """Send a whole answer."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
        await self.send(head.encode() + body)

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        plug = self._writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def wait_client_gone(self) -> None:
        """Wait for the client's FIN or reset."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass
        self.client_gone.set()


Script = Callable[[Exchange], Awaitable[None]]


class ModelServer:
    """A listening server; `script` answers each request."""

    def __init__(self) -> None:
        self.script: Script | None = None
        self.exchanges: list[Exchange] = []
        self.requests: asyncio.Queue[Exchange] = asyncio.Queue()
        self.connections = 0
        self.open_connections = 0
        self._changed = asyncio.Event()  # set whenever a connection ended
        self.port = 0

    @property
    def base_url(self) -> str:
        """The address for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self.open_connections += 1
        try:
            while True:
                exchange = Exchange(reader, writer)
                if not await exchange.read_request():
                    return
                self.exchanges.append(exchange)
                self.requests.put_nowait(exchange)
                assert self.script is not None
                await self.script(exchange)
                if writer.transport.is_closing() or exchange.client_gone.is_set():
                    return
        except ConnectionError:
            return
        finally:
            self.open_connections -= 1
            self._changed.set()
            writer.close()

    async def until_at_most(self, open_connections: int) -> None:
        """Wait until no more connections than this are open."""
        while self.open_connections > open_connections:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def model_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ModelServer]:
    """Run a server on a free port of the loopback."""
    server = ModelServer()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
