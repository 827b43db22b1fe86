"""A slot that moves while its session streams."""

import asyncio

import pytest

from andon import keys
from andon.ids import ResponseId
from tests.depth import only_in_full
from tests.stack.cluster_of_three import ClusterOfThree
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.topologies.asking import assert_ended_once, stop
from tests.topologies.conftest import BreakableStack

pytestmark = pytest.mark.timeout(180)


@only_in_full
async def test_a_stream_goes_on_while_its_slot_moves_and_is_stopped_where_it_arrived(
    breakable: BreakableStack,
) -> None:
    """To another node, and on to a third: nothing is missing, nothing comes twice; the stop is heard."""
    moved, other = Prompt(tokens=600, rate=50), Prompt(tokens=100_000, rate=50)
    async with breakable("cluster") as stack, stack.connect(0) as client, stack.connect(1, on_stop="keep") as second:
        servers = stack.servers
        assert isinstance(servers, ClusterOfThree)
        moved_id, other_id = await client.start(moved.body), await second.start(other.body)
        for response_id, listener in ((moved_id, client), (other_id, second)):
            await listener.text_begun(response_id)
            for _ in range(2):
                heard = len(listener.deltas(response_id))
                await asyncio.to_thread(servers.move_slot, keys.job(ResponseId(response_id)))
                await listener.text_begun(response_id, deltas=heard + 5)
        await stop(second, other_id)
        assert (await second.ending(other_id))["response"]["status"] == "cancelled"
        assert (await stack.meter.ended(other.key)).client_closed
        assert (await client.ending(moved_id, 60))["type"] == "response.completed"
        assert client.text(moved_id) == moved.text()
        check_responses(client)
        await assert_ended_once(stack, other_id, "cancelled")
        await assert_ended_once(stack, moved_id, "completed")


async def test_the_queue_and_the_indexes_may_move(breakable: BreakableStack) -> None:
    """Their slots are moved under a worker that reads the queue: what is created meanwhile runs."""
    async with breakable("cluster") as stack, stack.connect(0) as client:
        servers = stack.servers
        assert isinstance(servers, ClusterOfThree)
        for key in (keys.QUEUE, keys.SESSIONS, keys.WORKERS, keys.SETTLEMENTS, keys.QUEUE):
            await asyncio.to_thread(servers.move_slot, key)
            prompt = Prompt()
            response_id = await client.start(prompt.body)
            assert (await client.ending(response_id))["type"] == "response.completed"
            await assert_ended_once(stack, response_id, "completed")
