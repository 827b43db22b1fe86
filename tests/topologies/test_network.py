"""The chaos network in front of Sentinel and of a cluster: who is given its address reaches all servers through it."""

import asyncio

from andon.database import Database
from andon.errors import StoreUnavailable
from tests.chaos.network import Network
from tests.chaos.proxy import Proxy
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_TIMEOUT_S = 1.0
# Of many slots, so of every master.
_KEYS = [f"andon-network-{number}" for number in range(20)]


async def test_every_server_is_reached_through_the_network_and_none_past_it(spread: Stack) -> None:
    """Each master answers through it; refused, none does; healed, each does again."""
    async with (
        Network(spread.servers).open() as network,
        Database(network.url, timeout_s=_TIMEOUT_S).open() as database,
    ):

        async def ask() -> list[object]:
            calls = (database.call("EXISTS", key) for key in _KEYS)
            return list(await asyncio.gather(*calls, return_exceptions=True))

        async def all_answer() -> bool:
            return await ask() == [0] * len(_KEYS)

        await wait_until(all_answer)
        network.befall(Proxy.refuse)
        assert all(isinstance(answer, StoreUnavailable) for answer in await ask())
        network.heal()
        await wait_until(all_answer)
