"""Sockets: how many a principal, and a gateway, may have; asked at the door."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.limits.door import refused_handshake
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


async def test_a_principal_has_so_many_sockets_on_all_gateways(own_stack: OwnStack) -> None:
    """The next is refused on either, with 429 and when to come back; one that closed makes room."""
    async with own_stack(workers=0, ANDON_MAX_SOCKETS_PER_PRINCIPAL="2") as stack, stack.connect(0):
        async with stack.connect(1):
            for gateway in stack.gateways:
                status, event, headers = await refused_handshake(gateway.url)
                assert status == 429
                assert int(headers["retry-after"]) >= 1
                assert event["type"] == "error"
                assert event["error"]["code"] == "too_many_sockets"
                assert event["error"]["retry_after_s"] >= 1
        await wait_until(lambda: _can_connect(stack.gateways[0].url), timeout_s=20)


async def _can_connect(url: str) -> bool:
    try:
        async with connect(url, compression=None, proxy=None):
            return True
    except InvalidStatus:
        return False


async def test_a_browser_is_told_on_the_socket(own_stack: OwnStack) -> None:
    """Its script sees nothing of a refused handshake: offering `andon.v1` it gets the error, then 1013."""
    async with own_stack(gateways=1, workers=0, ANDON_MAX_SOCKETS="1") as stack, stack.connect(0):
        status, event, _ = await refused_handshake(stack.gateways[0].url)
        assert (status, event["error"]["code"]) == (503, "overloaded")
        url, offered = stack.gateways[0].url, [Subprotocol("andon.v1")]
        async with connect(url, subprotocols=offered, compression=None, proxy=None) as socket:
            assert socket.subprotocol == "andon.v1"
            told = msgspec.json.decode(await socket.recv())
            assert told["error"]["code"] == "overloaded"
            assert await _close_of(socket) == (1013, "overloaded")


async def _close_of(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_the_sockets_of_a_killed_gateway_count_no_more(own_stack: OwnStack) -> None:
    """Within a few leases its principal is let in again elsewhere; and those that live are still counted."""
    async with own_stack(workers=1, ANDON_MAX_SOCKETS_PER_PRINCIPAL="2", ANDON_LEASE_S="2") as stack:
        async with AsyncExitStack() as sockets:
            for _ in range(2):
                await sockets.enter_async_context(stack.connect(0))
            assert not await _can_connect(stack.gateways[1].url)
            await stack.gateways[0].kill()
        await wait_until(lambda: _can_connect(stack.gateways[1].url), timeout_s=40)
        async with stack.connect(1) as client, stack.connect(1):
            response_id = await client.start(Prompt(tokens=2).body)
            await client.ending(response_id)
            assert not await _can_connect(stack.gateways[1].url)
