"""The door to a running sim: the official SDK, raw HTTP, and the meter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import httpx2
import msgspec
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from andon.sim.meter import Record
from andon.sim.server import SimOptions, serve

KEY = "sk-test-never-to-be-seen-again"
PATHS = {"responses": "/responses", "chat": "/chat/completions"}


class Reading(msgspec.Struct):
    """What `GET /meter` answers."""

    requests: list[Record]
    open: int
    totals: dict[str, int]


class Door:
    """One sim and its clients."""

    def __init__(self, base_url: str, sdk: AsyncOpenAI, http: httpx2.AsyncClient) -> None:
        self.base_url = base_url
        self.sdk = sdk
        self.http = http

    async def meter(self, key: str | None = None, until: str | None = None) -> Reading:
        """Read the meter, once the requests of the key are `open` or `idle`."""
        query = {"key": key, "until": until}
        reply = await self.http.get("/meter", params={name: value for name, value in query.items() if value})
        reply.raise_for_status()
        return msgspec.json.decode(reply.content, type=Reading)

    async def record(self, key: str, until: str = "idle") -> Record:
        """Read the one record of a key."""
        (record,) = (await self.meter(key, until)).requests
        return record

    async def post(self, api: str, model: str, **body: Any) -> httpx2.Response:
        """Send a request by hand and read the whole of its response."""
        return await self.http.post(PATHS[api], json=request(api, model, **body))

    async def events(self, api: str, model: str, **body: Any) -> list[dict[str, Any]]:
        """Stream by hand: the JSON of each `data:` line but `[DONE]`."""
        reply = await self.post(api, model, stream=True, **body)
        assert reply.status_code == 200, reply.text
        lines = [line.removeprefix(b"data: ") for line in reply.content.split(b"\n") if line.startswith(b"data: ")]
        return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


def request(api: str, model: str, *, prompt: str = "hello there", **body: Any) -> dict[str, Any]:
    """Make a request's body, its prompt in the API's own place."""
    said = {"input": prompt} if api == "responses" else {"messages": [{"role": "user", "content": prompt}]}
    return {"model": model, **said, **body}


@asynccontextmanager
async def opened(options: SimOptions, tls: SSLContext) -> AsyncIterator[Door]:
    """Run a sim on a port of its own. `tls` goes unused on the wire, but costs its making once, not each time."""
    async with (
        serve(options) as base_url,
        DefaultAsyncHttpxClient(verify=tls) as transport,
        AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0, http_client=transport) as sdk,
        httpx2.AsyncClient(base_url=base_url, verify=tls, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        yield Door(base_url, sdk, http)
