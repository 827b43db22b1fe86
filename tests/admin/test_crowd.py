"""The operator's stop on real processes: a thousand streams over four workers, and a gateway that dies meanwhile.

`make test` runs a slice; `ANDON_CHAOS=full` (`make chaos`) all of it.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from andon.lifetime import background
from tests.depth import FULL
from tests.stack.client import TERMINAL
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]

_STREAMS: Final = 1000 if FULL else 100
_WORKERS: Final = 4 if FULL else 2
_OUTSIDE: Final = 100 if FULL else 25
_LANES: Final = 25
_LOOK_EVERY_S: Final = 0.5
_SOON_S: Final = 120.0 if FULL else 45.0
# A token now and then: what is tested is the stop, not how fast this machine can stream.
_RATE: Final = 0.2


async def look_until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look until it holds; not as often as others do: a look at a thousand streams costs as much as they do."""
    async with asyncio.timeout(_SOON_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def _all_run(http: httpx2.AsyncClient) -> bool:
    counted = await ask(http, "POST", "/v1/admin/stops", scope={"all": True}, dry_run=True)
    return bool(counted["states"] == {"running": _STREAMS + _OUTSIDE})


class Seat:
    """One socket with a stream in each of its lanes, read all the time."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.ids: list[str] = []
        # Status by response.
        self.endings: dict[str, str] = {}

    async def start(self, model: str) -> None:
        """Start its streams."""
        for lane in range(_LANES):
            body = Prompt(model=model, tokens=1000, rate=_RATE).body
            frame = {"type": "response.create", "stream_id": f"lane-{lane}", **body}
            await self.socket.send(msgspec.json.encode(frame).decode())

    async def read(self) -> None:
        """Read to the end of the socket, however that comes."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                event = msgspec.json.decode(await self.socket.recv())
                if event["type"] == "response.created":
                    self.ids.append(event["response_id"])
                elif event["type"] in TERMINAL:
                    self.endings[event["response_id"]] = event["response"]["status"]


class Crowd:
    """Streams of two models, over as many sockets as it takes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._inside: list[Seat] = []
        self._outside: list[Seat] = []

    @property
    def inside(self) -> set[str]:
        """Those of the model that is to be stopped."""
        return {response_id for seat in self._inside for response_id in seat.ids}

    @property
    def outside(self) -> set[str]:
        """Those of the other."""
        return {response_id for seat in self._outside for response_id in seat.ids}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Crowd"]:
        """Start all of them, and wait until each is heard of and has its request at the model server."""
        async with AsyncExitStack() as sockets:
            for seats, model, count in ((self._inside, "sim", _STREAMS), (self._outside, "other", _OUTSIDE)):
                for number in range(count // _LANES):
                    gateways = self._stack.gateways
                    url = f"{gateways[number % len(gateways)].url}?on_stop=keep"
                    # It has no pings: what a starved machine makes of them is not what is tested.
                    socket = connect(url, compression=None, proxy=None, max_size=None, ping_interval=None)
                    seats.append(Seat(await sockets.enter_async_context(socket)))
                    await seats[-1].start(model)
            async with background(*(seat.read() for seat in [*self._inside, *self._outside])):
                await look_until(self._are_created)
                async with http_of(self._stack, 0) as http:
                    await look_until(lambda: _all_run(http))
                await look_until(self._are_open)
                yield self

    async def _are_created(self) -> bool:
        return (len(self.inside), len(self.outside)) == (_STREAMS, _OUTSIDE)

    async def _are_open(self) -> bool:
        return (await self._stack.meter.read()).open == _STREAMS + _OUTSIDE

    async def endings(self) -> list[str]:
        """Wait until everything inside has its ending on its socket; return the statuses."""

        async def are_told() -> bool:
            return sum(len(seat.endings) for seat in self._inside) == _STREAMS

        await look_until(are_told)
        assert not any(seat.endings for seat in self._outside)
        return [status for seat in self._inside for status in seat.endings.values()]


async def ask(http: httpx2.AsyncClient, method: str, path: str, **body: Any) -> dict[str, Any]:
    """Ask a gateway."""
    answer = await http.request(method, path, json=body or None)
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


def http_of(stack: Stack, gateway: int) -> httpx2.AsyncClient:
    """Lend a client of one gateway."""
    return httpx2.AsyncClient(base_url=stack.gateways[gateway].http, verify=False, trust_env=False, timeout=60.0)


async def ended(http: httpx2.AsyncClient, broadcast_id: str) -> dict[str, Any]:
    """Wait for the end of a broadcast."""
    told: dict[str, Any] = {}

    async def is_over() -> bool:
        told.update(await ask(http, "GET", f"/v1/admin/stops/{broadcast_id}"))
        return bool(told["state"] != "running")

    await look_until(is_over)
    return told


async def live(http: httpx2.AsyncClient) -> set[str]:
    """List what is live, page by page."""
    found: set[str] = set()
    cursor: str | None = None
    while True:
        path = "/v1/admin/responses?limit=500" + ("" if cursor is None else f"&cursor={cursor}")
        page = await ask(http, "GET", path)
        found |= {row["id"] for row in page["data"]}
        if not page["has_more"]:
            return found
        cursor = page["next"]


@pytest.mark.timeout(600 if FULL else 120)
async def test_a_broadcast_ends_all_in_its_scope_and_nothing_else(own_stack: OwnStack) -> None:
    """Every stream of the model ends as cancelled, none of the other does; its time and its audit are told."""
    env = {"ANDON_LOG_LEVEL": "info", "ANDON_LEASE_S": "30"}
    async with (
        own_stack(gateways=2, workers=_WORKERS, **env) as stack,
        Crowd(stack).open() as crowd,
        http_of(stack, 0) as http,
    ):
        dry = await ask(http, "POST", "/v1/admin/stops", scope={"model": "sim"}, dry_run=True)
        assert (dry["matched"], dry["states"]) == (_STREAMS, {"running": _STREAMS})

        told = await ask(http, "POST", "/v1/admin/stops", scope={"model": "sim"}, reason="fire", wait=True)
        told = await ended(http, told["id"])
        progress = told["progress"]
        assert told["state"] == "done"
        sys.stdout.write(f"broadcast: {_STREAMS} streams, {_WORKERS} workers: {progress}\n")
        for step in ("matched", "recorded", "acked", "upstream_closed", "settled"):
            assert progress[step] == _STREAMS, progress
        assert (progress["already_ended"], progress["failed"]) == (0, 0)

        assert set(await crowd.endings()) == {"cancelled"}
        assert await live(http) == crowd.outside
        reading = await stack.meter.read()
        assert reading.open == _OUTSIDE
        await _check_audit(http, told["id"], crowd.inside)
        await ask(http, "POST", "/v1/admin/stops", scope={"all": True}, wait=True)


async def _check_audit(http: httpx2.AsyncClient, broadcast_id: str, ids: set[str]) -> None:
    async def outcomes() -> list[str]:
        page = await ask(http, "GET", f"/v1/admin/audit?id={broadcast_id}&outcome=stopped&limit=1000")
        return [entry["response_id"] for entry in page["data"]]

    async def are_told() -> bool:
        return set(await outcomes()) == ids

    await look_until(are_told)
    asked = (await ask(http, "GET", f"/v1/admin/audit?id={broadcast_id}&step=asked"))["data"]
    assert [entry["scope"] for entry in asked] == [{"model": "sim"}]


@pytest.mark.timeout(600 if FULL else 120)
async def test_a_broadcast_survives_its_gateway(own_stack: OwnStack) -> None:
    """Killed as soon as it has answered: another adopts the record and finishes it, with an account of all."""
    env = {"ANDON_LOG_LEVEL": "info", "ANDON_LEASE_S": "8"}
    async with (
        own_stack(gateways=2, workers=_WORKERS, **env) as stack,
        Crowd(stack).open() as crowd,
        http_of(stack, 1) as http,
    ):
        async with http_of(stack, 0) as doomed:
            told = await ask(doomed, "POST", "/v1/admin/stops", scope={"model": "sim"})
            assert told["state"] == "running"
        await stack.gateways[0].kill()
        told = await ended(http, told["id"])
        assert told["state"] == "done"
        assert (told["progress"]["matched"], told["progress"]["settled"]) == (_STREAMS, _STREAMS)
        assert await live(http) == crowd.outside
        assert stack.gateways[1].log_events("broadcast.adopted")
        await ask(http, "POST", "/v1/admin/stops", scope={"all": True}, wait=True)
