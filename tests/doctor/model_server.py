"""A model server that answers each path as told, and keeps what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ModelServer:
    """`answers`: status and body by path; any other path is 404."""

    answers: Mapping[str, tuple[int, Any]]
    asked: list[str] = field(default_factory=list)
    base_url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            self.asked.append(f"{method} {path}")
            status, body = self.answers.get(path.removeprefix("/v1"), (404, {"error": {"message": "no such thing"}}))
            text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(text), text)
            )
            await writer.drain()


@contextlib.asynccontextmanager
async def model_server(answers: Mapping[str, tuple[int, Any]]) -> AsyncIterator[ModelServer]:
    """Serve for the length of a block."""
    made = ModelServer(answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield made
