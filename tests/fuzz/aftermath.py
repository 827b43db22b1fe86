"""Aftermath: what must hold after whatever was sent: nothing leaked, and the stop works."""

from functools import partial
from typing import Final

import psutil

from tests.stack.prompt import Prompt
from tests.stack.stack import Gateway, Stack
from tests.stack.waiting import wait_until

_WAIT_S: Final = 30.0


def connections(gateway: Gateway) -> int:
    """Count the connections of clients that a gateway holds, and those that it forgot to close."""
    held = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(1 for one in held if one.laddr.port == gateway.port and one.status != psutil.CONN_LISTEN)


def descriptors(gateway: Gateway) -> int:
    """Count the files and sockets that a gateway has open."""
    return psutil.Process(gateway.pid).num_fds()


async def check_nothing_leaked(stack: Stack, before: list[int]) -> None:
    """Wait until no gateway holds a client, nor more descriptors than `before`."""
    for gateway, most in zip(stack.gateways, before, strict=True):
        await wait_until(partial(_is_free, gateway), _WAIT_S, what=f"{gateway.name} holds no client")
        await wait_until(partial(_is_slim, gateway, most), _WAIT_S, what=f"{gateway.name} has {most} descriptors again")


def _is_free(gateway: Gateway) -> bool:
    return connections(gateway) == 0


def _is_slim(gateway: Gateway, most: int) -> bool:
    return descriptors(gateway) <= most


async def check_a_stop_works(stack: Stack) -> None:
    """Start a stream on one replica, stop it on the other: it ends, and so does its upstream."""
    prompt = Prompt(tokens=20_000, rate=100)
    async with stack.connect(0) as client, stack.connect(1) as other:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        await other.cancel(response_id=response_id, reason="after the fuzz")
        ending = await client.ending(response_id)
        assert ending["response"]["status"] == "cancelled"
        assert await client.closed() == (1000, "stopped")
    await stack.meter.ended(prompt.key)
