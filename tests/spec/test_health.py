"""Health: what a load balancer is told."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.stack.prompt import Prompt
from tests.stack.stack import Gateway, Stack

_SEEN_S = 15.0


async def _ready(gateway: Gateway, status: int) -> dict[str, object]:
    """Ask `/readyz` until it answers with this status; return its body."""
    async with asyncio.timeout(_SEEN_S):
        while (reply := await gateway.get("/readyz")).status_code != status:
            pass
    body: dict[str, object] = reply.json()
    return body


async def test_a_running_gateway_is_healthy_and_ready(stack: Stack) -> None:
    """Both answer 200 while Redis is there and the gateway hears what is published."""
    for gateway in stack.gateways:
        assert (await gateway.get("/healthz")).status_code == 200
        reply = await gateway.get("/readyz")
        assert reply.status_code == 200
        body = reply.json()
        assert body.pop("status") == "ready"
        assert {"redis", "subscribed"} <= body.keys()
        assert all(check is True for check in body.values())


async def test_a_gateway_without_redis_is_alive_but_not_ready_until_it_is_back(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """`/readyz` is 503 while Redis is away and 200 again after; `/healthz` stays 200; then streams run as before."""
    async with own_stack(gateways=1, workers=1, ANDON_LEASE_S="30") as stack:
        (gateway,) = stack.gateways
        stack.valkey.kill()
        body = await _ready(gateway, 503)
        assert body["status"] == "not_ready"
        assert body["redis"] is False
        assert (await gateway.get("/healthz")).status_code == 200
        stack.valkey.restart(keep_data=False)
        await _ready(gateway, 200)
        prompt = Prompt()
        async with stack.connect() as client:
            response_id = await client.start(prompt.body)
            assert (await client.ending(response_id))["response"]["status"] == "completed"
            assert client.text(response_id) == prompt.text()
