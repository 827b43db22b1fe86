"""Failovers in the middle of a stream: ordered, and by `kill -9` of the master. The stop works, one ending each."""

import asyncio

import pytest

from andon import keys
from andon.ids import ResponseId
from tests.depth import only_in_full
from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.sentinel_trio import SentinelTrio
from tests.stack.stack import Stack
from tests.topologies.asking import assert_ended_once, stop, stop_or_ended
from tests.topologies.conftest import BreakableStack

pytestmark = [pytest.mark.timeout(180), only_in_full]
_KINDS = pytest.mark.parametrize("kind", ["sentinel", "cluster"])


async def _kill_master(stack: Stack, response_id: str) -> None:
    master = stack.servers.holder(keys.job(ResponseId(response_id)))
    await asyncio.to_thread(master.kill)


@_KINDS
async def test_an_ordered_failover_costs_no_event(breakable: BreakableStack, kind: str) -> None:
    """The text comes whole on both replicas; the next stream is stopped as ever."""
    finite, endless = Prompt(tokens=1000, rate=50), Prompt(tokens=100_000, rate=50)
    async with breakable(kind) as stack, stack.connect(0) as first, stack.connect(1, on_stop="keep") as second:
        finite_id, endless_id = await first.start(finite.body), await second.start(endless.body)
        await first.text_begun(finite_id)
        await second.text_begun(endless_id)
        await asyncio.to_thread(stack.servers.failover, coordinated=True)
        heard = len(second.deltas(endless_id))
        await second.text_begun(endless_id, deltas=heard + 20)
        await stop(second, endless_id)
        assert (await second.ending(endless_id))["response"]["status"] == "cancelled"
        assert (await stack.meter.ended(endless.key)).client_closed
        assert (await first.ending(finite_id, 60))["type"] == "response.completed"
        assert first.text(finite_id) == finite.text()
        await assert_ended_once(stack, endless_id, "cancelled")
        await assert_ended_once(stack, finite_id, "completed")


@_KINDS
async def test_a_stop_asked_while_the_master_is_dead_takes_effect(breakable: BreakableStack, kind: str) -> None:
    """503 until there is a master, then recorded, heard, settled: once, and the upstream is closed."""
    prompt = Prompt(tokens=100_000, rate=50)
    async with breakable(kind) as stack, stack.connect(0) as creator, stack.connect(1, on_stop="keep") as stopper:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        await _kill_master(stack, response_id)
        await stop(stopper, response_id)
        assert (await creator.ending(response_id, 60))["response"]["status"] == "cancelled"
        assert (await stack.meter.ended(prompt.key)).client_closed
        await assert_ended_once(stack, response_id, "cancelled")


@_KINDS
async def test_a_stop_recorded_before_the_master_died_is_not_lost(breakable: BreakableStack, kind: str) -> None:
    """A replica had the mark before it was answered; nobody heard the hint, for the worker was frozen."""
    prompt = Prompt(model="sim-mute")
    async with breakable(kind) as stack, stack.connect(1, on_stop="keep") as client:
        response_id = await client.start(prompt.body)
        await stack.meter.opened(prompt.key)
        (worker,) = stack.workers
        worker.freeze()
        try:
            await client.cancel(response_id=response_id, event_id="stop")
            accepted = await client.event("response.cancel.accepted", event_id="stop")
            assert isinstance(accepted["stops"][0]["replicated"], float)
            await _kill_master(stack, response_id)
        finally:
            worker.thaw()
        assert (await client.ending(response_id, 60))["response"]["status"] == "cancelled"
        assert (await stack.meter.ended(prompt.key)).client_closed
        await assert_ended_once(stack, response_id, "cancelled")


@_KINDS
async def test_after_the_master_died_everything_goes_on(breakable: BreakableStack, kind: str) -> None:
    """The stream that ran completes, and new ones run on both replicas."""
    prompt = Prompt(tokens=500, rate=50)
    async with breakable(kind) as stack:
        async with stack.connect(0) as client:
            response_id = await client.start(prompt.body)
            await client.text_begun(response_id)
            await _kill_master(stack, response_id)
            assert (await client.ending(response_id, 60))["type"] == "response.completed"
            assert client.text(response_id) == prompt.text()
        for gateway in stack.gateways:
            await _until_ready(stack, stack.gateways.index(gateway))
        for number in range(6):
            again = Prompt()
            async with stack.connect(number % 2) as client:
                again_id = await client.start(again.body)
                assert (await client.ending(again_id))["type"] == "response.completed"
        await assert_ended_once(stack, response_id, "completed")


async def _until_ready(stack: Stack, number: int) -> None:
    async with asyncio.timeout(60):
        while (await stack.gateways[number].get("/readyz")).status_code != 200:
            pass


async def test_a_failover_that_loses_the_end_of_a_log_ends_it_once_and_says_so(breakable: BreakableStack) -> None:
    """An order that waits for nobody: what the old master took meanwhile is gone. Nobody hangs, no upstream is left."""
    prompt = Prompt(tokens=100_000, rate=50)
    async with breakable("sentinel") as stack, stack.connect(0, on_stop="keep") as client:
        servers = stack.servers
        assert isinstance(servers, SentinelTrio)
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        await asyncio.to_thread(servers.failover)
        async with stack.connect(1, on_stop="keep") as stopper:
            await stop_or_ended(stopper, response_id)
        # Whichever: the log was cut, or the failover was faster than the next token.
        status = await _told(client, response_id)
        assert (await stack.meter.ended(prompt.key)).client_closed
        await assert_ended_once(stack, response_id, status)


async def _told(client: Client, response_id: str) -> str:
    """Receive to the close or the ending; return the status that the log must have."""
    try:
        return str((await client.ending(response_id, 60))["response"]["status"])
    except AssertionError:
        assert client.close == (1011, "job_lost"), client.close
        return "failed"
