import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from andon import keys
from andon.ids import ANONYMOUS, SessionName, session_tag
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.valkey import members
from tests.stack.waiting import wait_until

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]

ABANDON_S = 2


def long() -> Prompt:
    """Ask for what would run for forty seconds."""
    return Prompt(tokens=2000, rate=50)


async def is_stopped_as_abandoned(stack: Stack, session: str, response_id: str) -> None:
    """Look at the ending from a new socket."""
    async with stack.connect(-1, session=session, response_id=response_id) as viewer:
        ending = (await viewer.ending(response_id))["response"]
        assert (ending["status"], ending["stop"]["by"], ending["stop"]["reason"]) == ("cancelled", "andon", "abandoned")


async def test_what_nobody_watches_is_stopped_and_what_somebody_watches_is_not(stack: Stack, session: str) -> None:
    """Detaching is no stop, but after `abandon_s` it costs money for nobody; 0 is never; a watched one runs on."""
    watched, left, kept = long(), long(), long()
    async with stack.connect(0, session=session, on_stop="keep") as viewer:
        watched_id = await viewer.start(watched.body, abandon_s=ABANDON_S)
        async with stack.connect(1, session=session) as leaver:
            left_id = await leaver.start(left.body, abandon_s=ABANDON_S, stream_id="left")
            kept_id = await leaver.start(kept.body, abandon_s=0, stream_id="kept")
            await leaver.text_begun(left_id)
            await leaver.text_begun(kept_id)
            leaver.socket.transport.abort()
        gone_at = time.time()
        closed_at = (await stack.meter.ended(left.key)).closed_at
        assert closed_at is not None
        # Half of the time is the presence's, that was renewed up to the end; the other half is the worker's.
        assert closed_at - gone_at >= ABANDON_S / 2
        await is_stopped_as_abandoned(stack, session, left_id)
        # The other two are older than that, and run.
        for prompt in (watched, kept):
            assert (await stack.meter.read(prompt.key)).open == 1
        told = len(viewer.deltas(watched_id))
        await viewer.text_begun(watched_id, deltas=told + 20)
        await viewer.cancel()
        done = await viewer.event("response.cancel.done")
        assert {stop["response_id"] for stop in done["stops"]} == {watched_id, kept_id}


@pytest.mark.parametrize("abandon_s", [-1, 1, 1e9, "soon", True])
async def test_abandon_s_has_bounds(stack: Stack, session: str, abandon_s: object) -> None:
    """A time that presences could not be renewed in, or that never comes, is refused by name."""
    async with stack.connect(0, session=session) as client:
        await client.create({**Prompt().body, "abandon_s": abandon_s})
        error = await client.event("error")
        assert (error["status"], error["error"]["param"]) == (400, "abandon_s")


async def test_a_response_is_abandoned_also_when_its_gateway_was_killed(own_stack: MakeStack, session: str) -> None:
    """Nobody said goodbye; its worker notices. A create repeated elsewhere meanwhile still finds what it made."""
    async with own_stack(gateways=2, workers=1, ANDON_ABANDON_S=str(ABANDON_S)) as stack:
        prompt, again = long(), long()
        async with stack.connect(0, session=session) as client:
            left_id = await client.start(prompt.body, stream_id="left")
            again_id = await client.start(again.body, event_id="once", stream_id="again")
            await client.text_begun(again_id)
            await stack.gateways[0].kill()
            assert (await client.closed())[0] == 1006
        async with stack.connect(1, session=session) as elsewhere:
            assert await elsewhere.start(again.body, event_id="once", stream_id="again") == again_id
            assert (await stack.meter.ended(prompt.key)).client_closed
            await is_stopped_as_abandoned(stack, session, left_id)
            await elsewhere.text_begun(again_id, deltas=len(elsewhere.deltas(again_id)) + 5)
            await elsewhere.cancel(response_id=again_id)
            await elsewhere.closed()
        assert len((await stack.meter.read(again.key)).requests) == 1


async def test_an_unclaimed_response_is_abandoned_too(own_stack: MakeStack, session: str) -> None:
    """With no worker there is nobody to notice but the sweep of a gateway: no model is ever asked."""
    async with own_stack(gateways=1, workers=0, ANDON_LEASE_S="1") as stack:
        tag = session_tag(ANONYMOUS, SessionName(session))
        async with stack.connect(0, session=session) as watcher:
            watched_id = await watcher.start(long().body, abandon_s=ABANDON_S)
            async with stack.connect(0, session=session) as leaver:
                left_id = await leaver.start(long().body, abandon_s=ABANDON_S)
            # Not by a viewer: one who looks is there.
            await wait_until(lambda: members(stack.servers, keys.live(tag)) == {watched_id}, what="the other ends")
            await is_stopped_as_abandoned(stack, session, left_id)
            assert watcher.close is None
            await watcher.cancel(response_id=watched_id)
            await watcher.closed()
        assert (await stack.meter.read()).requests == []


async def test_after_an_outage_of_redis_the_clock_starts_anew(own_stack: MakeStack, session: str) -> None:
    """While Redis was away nobody could say that he is there: what is watched is not stopped for that."""
    env = {"ANDON_LEASE_S": "30", "ANDON_COMMAND_TIMEOUT_S": "0.5"}
    async with own_stack(gateways=1, workers=1, **env) as stack:
        watched, left = Prompt(tokens=160, rate=20), long()
        async with stack.connect(0, session=session) as viewer:
            watched_id = await viewer.start(watched.body, abandon_s=ABANDON_S)
            async with stack.connect(0, session=session) as leaver:
                left_id = await leaver.start(left.body, abandon_s=ABANDON_S)
                await leaver.text_begun(left_id)
            os.kill(stack.valkey.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(ABANDON_S + 1)  # the outage: longer than all presences last
            finally:
                thawed_at = time.time()
                os.kill(stack.valkey.pid, signal.SIGCONT)
            await viewer.ending(watched_id)
            assert viewer.text(watched_id) == watched.text()
        await is_stopped_as_abandoned(stack, session, left_id)
        closed_at = (await stack.meter.ended(left.key)).closed_at
        assert closed_at is not None
        assert closed_at - thawed_at >= ABANDON_S / 2
