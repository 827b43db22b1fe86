"""Redis away for less than the lease and for more, back but empty, and full."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from andon.database import Database
from tests.chaos.proxy import Proxy, Way
from tests.reliability.shop import Shop, said
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_ENDLESS = 100_000
_LEASE_S = 3.0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda network: network.hold(Way.BOTH), id="late"),
        pytest.param(lambda network: network.swallow(Way.DOWN), id="replies_lost"),
        pytest.param(lambda network: network.refuse(), id="refused"),
    ],
)
async def test_an_outage_shorter_than_the_lease_costs_nothing(
    shop: Shop, network: Proxy, fault: Callable[[Proxy], None]
) -> None:
    """Events wait in the worker and enter the log in order and once: the text is exact, the response completes."""
    prompt = Prompt(tokens=200, rate=100)
    async with shop.worker(url=network.url, lease_s=_LEASE_S), shop.sweeping(lease_s=_LEASE_S):
        response_id = await shop.speaking(prompt)
        fault(network)
        await asyncio.sleep(0.4 * _LEASE_S)  # the length of the outage
        network.heal()
        response = await shop.ending(response_id)
        assert response["status"] == "completed"
        assert said(response) == await shop.text(response_id) == prompt.text()
        assert (await shop.job(response_id)).generation == 1


async def test_an_outage_longer_than_the_lease_ends_what_had_output_and_repeats_what_had_none(
    shop: Shop, network: Proxy
) -> None:
    """The upstreams are closed; the speaking one fails with its text kept, the silent one runs on another worker."""
    lease_s = 1.0
    speaking, silent = Prompt(tokens=_ENDLESS, rate=50), Prompt(tokens=30, rate=0, ttft_s=2.5)
    # A chat says nothing before its first token.
    async with shop.worker(url=network.url, lease_s=lease_s, api="chat") as lost, shop.sweeping(lease_s=lease_s):
        speaking_id, silent_id = await shop.speaking(speaking), await shop.start(silent)
        network.hold(Way.BOTH)
        for prompt in (speaking, silent):
            assert (await shop.meter.ended(prompt.key)).client_closed
        failed = await shop.ending(speaking_id)
        assert failed["error"]["type"] == "worker_lost"
        assert said(failed) == await shop.text(speaking_id)
        assert speaking.text(_ENDLESS // 100).startswith(said(failed))
        network.heal()
        await lost.ended()
        async with shop.worker(api="chat"):
            assert (await shop.ending(silent_id))["status"] == "completed"
            assert await shop.text(silent_id) == silent.text()
        types = [event["type"] for event in await shop.log(silent_id)]
        assert types[:2] == ["response.created", "response.in_progress"]
        assert types.count("response.created") == types.count("response.in_progress") == 1


@pytest.mark.timeout(90)
async def test_a_full_server_takes_nothing_new_and_an_empty_one_lets_nobody_hang(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """Full: a create is refused as 503 `store_full`, a stop works. Empty: 1011 `job_lost`, upstreams closed."""
    async with own_stack(gateways=1, workers=1, ANDON_LEASE_S="1") as stack:
        stack.expect_log("switch.fired")  # a second is little on a loaded machine
        stack.expect_log("worker.lost")
        await _full(stack)
        await _emptied(stack)


async def _full(stack: Stack) -> None:
    async with Database(stack.valkey.url, timeout_s=2.0).open() as server, stack.connect(0, on_stop="keep") as client:
        running = Prompt(tokens=_ENDLESS, rate=50)
        silent = Prompt(model="sim-silent")
        ids = [await client.start(p.body, stream_id=p.key) for p in (running, silent)]
        await stack.meter.opened(silent.key)
        await client.text_begun(ids[0])
        await server.call("CONFIG", "SET", "maxmemory", 1)
        try:
            await client.create(Prompt().body, stream_id="refused", event_id="full")
            error = await client.event("error", event_id="full")
            assert (error["status"], error["error"]["code"]) == (503, "store_full")
            for response_id in ids:
                await client.cancel(response_id=response_id, event_id=response_id)
                await client.event("response.cancel.accepted", event_id=response_id)
                assert (await client.ending(response_id))["response"]["status"] == "cancelled"
            for prompt in (running, silent):
                assert (await stack.meter.ended(prompt.key)).client_closed
        finally:
            await server.call("CONFIG", "SET", "maxmemory", 0)
        again = Prompt()
        assert (await client.ending(await client.start(again.body)))["type"] == "response.completed"


async def _emptied(stack: Stack) -> None:
    speaking, silent = Prompt(tokens=_ENDLESS, rate=50), Prompt(model="sim-mute")
    async with stack.connect(0) as first, stack.connect(0) as second:
        first_id = await first.start(speaking.body)
        await first.text_begun(first_id)
        await second.start(silent.body)
        await stack.meter.opened(silent.key)
        await asyncio.to_thread(stack.valkey.restart, keep_data=False)
        for client in (first, second):
            assert await client.closed() == (1011, "job_lost")
        for prompt in (speaking, silent):
            assert (await stack.meter.ended(prompt.key)).client_closed
    async with stack.connect(0) as client:
        prompt = Prompt()
        assert (await client.ending(await client.start(prompt.body)))["type"] == "response.completed"
