"""The operator's stop on real processes: a thousand streams over four workers, and a gateway that dies meanwhile.

`make test` runs a slice; `ANDON_CHAOS=full` (`make chaos`) all of it.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

import httpx2
import pytest

from tests.contract.waiting import wait_until
from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]

_IS_FULL: Final = os.environ.get("ANDON_CHAOS") == "full"
_STREAMS: Final = 1000 if _IS_FULL else 100
_WORKERS: Final = 4 if _IS_FULL else 2
_OUTSIDE: Final = 100 if _IS_FULL else 25
_LANES: Final = 25
_SOON_S: Final = 120.0 if _IS_FULL else 45.0
# A token now and then: what is measured is the stop, not how fast this machine can stream.
_RATE: Final = 2.0 if _IS_FULL else 5.0


class Crowd:
    """Streams of two models, over as many sockets as it takes."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.inside: list[str] = []
        self.outside: list[str] = []
        self.clients: list[Client] = []

    async def start(self, sockets: AsyncExitStack) -> None:
        """Start all of them, and wait until each has a worker and some text."""
        for number in range((_STREAMS + _OUTSIDE) // _LANES):
            self.clients.append(
                await sockets.enter_async_context(self.stack.connect(number % len(self.stack.gateways), on_stop="keep"))
            )
        await asyncio.gather(*(self._fill(number, client) for number, client in enumerate(self.clients)))
        assert (len(self.inside), len(self.outside)) == (_STREAMS, _OUTSIDE)

    async def _fill(self, number: int, client: Client) -> None:
        model, ids = ("sim", self.inside) if number < _STREAMS // _LANES else ("other", self.outside)
        for lane in range(_LANES):
            await client.create(Prompt(model=model, tokens=100_000, rate=_RATE).body, stream_id=f"lane-{lane}")
        await client.until(lambda _: len(client.response_ids()) == _LANES, _SOON_S)
        mine = client.response_ids()
        for response_id in mine:
            await client.until(lambda _, rid=response_id: len(client.deltas(rid)) > 0, _SOON_S)  # type: ignore[misc]
        ids += mine

    async def endings(self) -> dict[str, str]:
        """Wait until everything inside has its ending on its socket; return the statuses."""
        found: dict[str, str] = {}
        inside = set(self.inside)
        for client in self.clients:
            for response_id in inside.intersection(client.response_ids()):
                found[response_id] = (await client.ending(response_id, _SOON_S))["response"]["status"]
        return found


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

    await wait_until(is_over, timeout_s=_SOON_S)
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


@pytest.mark.timeout(600 if _IS_FULL else 120)
async def test_a_broadcast_ends_all_in_its_scope_and_nothing_else(own_stack: OwnStack) -> None:
    """Every stream of the model ends as cancelled, none of the other does; its time and its audit are told."""
    env = {"ANDON_LOG_LEVEL": "info", "ANDON_LEASE_S": "10"}
    async with own_stack(gateways=2, workers=_WORKERS, **env) as stack, AsyncExitStack() as sockets:
        crowd = Crowd(stack)
        await crowd.start(sockets)
        http = await sockets.enter_async_context(http_of(stack, 0))
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

        statuses = await crowd.endings()
        assert set(statuses.values()) == {"cancelled"}
        assert await live(http) == set(crowd.outside)
        reading = await stack.meter.read()
        assert reading.open == _OUTSIDE
        await _check_audit(http, told["id"], set(crowd.inside))
        await ask(http, "POST", "/v1/admin/stops", scope={"all": True}, wait=True)


async def _check_audit(http: httpx2.AsyncClient, broadcast_id: str, ids: set[str]) -> None:
    async def outcomes() -> list[str]:
        page = await ask(http, "GET", f"/v1/admin/audit?id={broadcast_id}&outcome=stopped&limit=1000")
        return [entry["response_id"] for entry in page["data"]]

    async def are_told() -> bool:
        return set(await outcomes()) == ids

    await wait_until(are_told, timeout_s=_SOON_S)
    asked = (await ask(http, "GET", f"/v1/admin/audit?id={broadcast_id}&step=asked"))["data"]
    assert [entry["scope"] for entry in asked] == [{"model": "sim"}]


@pytest.mark.timeout(600 if _IS_FULL else 120)
async def test_a_broadcast_survives_its_gateway(own_stack: OwnStack) -> None:
    """Killed as soon as it has answered: another adopts the record and finishes it, with an account of all."""
    env = {"ANDON_LOG_LEVEL": "info", "ANDON_LEASE_S": "4"}
    async with own_stack(gateways=2, workers=_WORKERS, **env) as stack, AsyncExitStack() as sockets:
        crowd = Crowd(stack)
        await crowd.start(sockets)
        http = await sockets.enter_async_context(http_of(stack, 1))
        async with http_of(stack, 0) as doomed:
            told = await ask(doomed, "POST", "/v1/admin/stops", scope={"model": "sim"})
            assert told["state"] == "running"
        await stack.gateways[0].kill()
        told = await ended(http, told["id"])
        assert told["state"] == "done"
        assert (told["progress"]["matched"], told["progress"]["settled"]) == (_STREAMS, _STREAMS)
        assert await live(http) == set(crowd.outside)
        assert stack.gateways[1].log_events("broadcast.adopted")
        await ask(http, "POST", "/v1/admin/stops", scope={"all": True}, wait=True)
