"""Drain: what a worker does when it is told to end."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from andon.settings import DrainEnding
from tests.reliability.shop import Shop, said
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_ENDLESS = 100_000


async def test_what_finishes_in_time_finishes(shop: Shop) -> None:
    """No new job is claimed; the running one completes, and then the worker ends."""
    prompt, late = Prompt(tokens=100, rate=100), Prompt()
    async with shop.worker(drain_s=10) as worker:
        response_id = await shop.speaking(prompt)
        worker.shutdown.request()
        late_id = await shop.create(late)
        await worker.ended()
    response = await shop.ending(response_id)
    assert response["status"] == "completed"
    assert said(response) == prompt.text()
    assert (await shop.job(late_id)).state == "queued"
    async with shop.worker():
        assert (await shop.ending(late_id))["status"] == "completed"


async def test_what_has_not_produced_a_byte_runs_on_another_worker(shop: Shop) -> None:
    """Requeued at the deadline; the second worker goes on at number 2, the first two events are not repeated."""
    prompt = Prompt(tokens=20, rate=0, ttft_s=1.5)
    # A chat says nothing before its first token.
    async with shop.worker(drain_s=0.1, api="chat") as worker:
        response_id = await shop.start(prompt)
        worker.shutdown.request()
        await worker.ended()
    assert (await shop.job(response_id)).state == "queued"
    async with shop.worker(api="chat"):
        response = await shop.ending(response_id)
    assert response["status"] == "completed"
    assert await shop.text(response_id) == prompt.text()
    types = [event["type"] for event in await shop.log(response_id)]
    assert types.count("response.created") == types.count("response.in_progress") == 1
    assert len((await shop.meter.read(prompt.key)).requests) == 2


@pytest.mark.parametrize("ending", list(DrainEnding))
async def test_the_rest_ends_as_the_settings_say(shop: Shop, ending: DrainEnding) -> None:
    """Cancelled with the reason `shutdown`, or failed with that cause; the text is kept, the upstream closed."""
    prompt = Prompt(tokens=_ENDLESS, rate=50)
    async with shop.worker(drain_s=0.1, drain_ending=ending) as worker:
        response_id = await shop.speaking(prompt)
        worker.shutdown.request()
        await worker.ended()
    response = await shop.ending(response_id)
    assert response["status"] == ending
    assert said(response) == await shop.text(response_id) != ""
    assert (await shop.meter.ended(prompt.key)).client_closed
    if ending is DrainEnding.CANCELLED:
        assert response["stop"]["reason"] == "shutdown"
    else:
        assert response["error"]["type"] == "shutdown"


async def test_the_second_demand_does_not_wait(shop: Shop) -> None:
    """The deadline is far away: told twice, the worker ends its runs now."""
    prompt = Prompt(tokens=_ENDLESS, rate=50)
    async with shop.worker(drain_s=600) as worker:
        response_id = await shop.speaking(prompt)
        worker.shutdown.request()
        await asyncio.sleep(0)
        worker.shutdown.request()
        await worker.ended()
    assert (await shop.ending(response_id))["stop"]["reason"] == "shutdown"


async def test_a_stop_during_the_drain_is_obeyed_at_once(shop: Shop) -> None:
    """A draining worker still hears stops."""
    prompt = Prompt(model="sim-mute")
    async with shop.worker(drain_s=600) as worker:
        response_id = await shop.start(prompt)
        worker.shutdown.request()
        await shop.stop(response_id)
        assert (await shop.ending(response_id))["stop"]["reason"] == "test"
        await worker.ended()


@pytest.mark.timeout(90)
async def test_sigterm_ends_the_process_with_exit_code_zero(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """The first waits for what finishes in time, the second for nothing; 0 each time, and nothing is left open."""
    async with own_stack(gateways=1, workers=2, ANDON_DRAIN_S="60") as stack, stack.connect(0) as client:
        prompts = [Prompt(tokens=_ENDLESS, rate=50) for _ in range(8)]
        ids = [await client.start(prompt.body, stream_id=str(n)) for n, prompt in enumerate(prompts)]
        for response_id in ids:
            await client.text_begun(response_id, deltas=1)
        brief = Prompt(tokens=100, rate=100)
        brief_id = await client.start(brief.body, stream_id="brief")
        await client.text_begun(brief_id, deltas=1)
        for worker in stack.workers:
            worker.send_signal(signal.SIGTERM)
        assert (await client.ending(brief_id))["type"] == "response.completed"
        assert client.text(brief_id) == brief.text()
        asked_at = time.monotonic()
        for worker in stack.workers:
            worker.send_signal(signal.SIGTERM)
        assert [await worker.ended() for worker in stack.workers] == [0, 0]
        assert time.monotonic() - asked_at < 10
        for response_id in ids:
            response = (await client.ending(response_id))["response"]
            assert (response["status"], response["stop"]["reason"]) == ("cancelled", "shutdown")
