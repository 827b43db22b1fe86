import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.delivery.reader import Reader
from tests.stack.prompt import Prompt
from tests.stack.shape import check_order
from tests.stack.stack import Gateway, Stack
from tests.stack.waiting import wait_until

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]

RESTARTING = 1012
IDLE = 20


async def test_a_gateway_drains_on_sigterm_and_nobody_loses_anything(own_stack: MakeStack, session: str) -> None:
    """Not ready, no new sockets, 1012 to each, exit 0; the job does not notice, and the client goes on elsewhere."""
    async with own_stack(gateways=2, workers=1, ANDON_DRAIN_S="4") as stack:
        leaving = stack.gateways[0]
        idle = [await Reader.open(leaving.port) for _ in range(IDLE)]
        prompt = Prompt(tokens=500, rate=100)
        async with stack.connect(0, session=session) as client:
            response_id = await client.start(prompt.body)
            await client.text_begun(response_id)
            leaving.end_is_expected = True
            leaving.send_signal(signal.SIGTERM)
            await wait_until(lambda: leaving.log_events("drain.begun"), what="the drain begins")
            ready = await leaving.get("/readyz")
            assert (ready.status_code, ready.json()["taking_sockets"]) == (503, False)
            assert (await leaving.get("/healthz")).status_code == 200
            await refuses(leaving)
            code, _ = await client.closed()
        assert [code, *(await asyncio.gather(*(reader.closed for reader in idle)))] == [RESTARTING] * (IDLE + 1)
        assert await leaving.ended() == 0
        last = client.of(response_id)[-1]["sequence_number"]
        async with stack.connect(1, session=session, response_id=response_id, starting_after=last) as elsewhere:
            await elsewhere.ending(response_id)
        check_order(client.of(response_id) + elsewhere.of(response_id))
        assert client.text(response_id) + elsewhere.text(response_id) == prompt.text()
        assert (await stack.meter.ended(prompt.key)).finished

        # The closes are spread: a fleet does not come back in one second. A second signal does not wait for that.
        hurried = await stack.start_gateway(ANDON_DRAIN_S="60")
        idle = [await Reader.open(hurried.port) for _ in range(5 * IDLE)]
        hurried.end_is_expected = True
        hurried.send_signal(signal.SIGTERM)
        await idle_closed(idle, 1)
        assert sum(reader.closed.done() for reader in idle) < len(idle) / 2
        hurried.send_signal(signal.SIGTERM)
        assert await hurried.ended(5) == 0
        assert set(await asyncio.gather(*(reader.closed for reader in idle))) == {RESTARTING}


async def idle_closed(readers: list[Reader], count: int) -> None:
    """Wait until so many of them are closed."""
    await wait_until(lambda: sum(reader.closed.done() for reader in readers) >= count, what=f"{count} are closed")


async def refuses(gateway: Gateway) -> None:
    """Assert that a new handshake is sent elsewhere."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(gateway.url, proxy=None):
            pass
    assert refused.value.response.status_code == 503
