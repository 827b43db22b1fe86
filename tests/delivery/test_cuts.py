import random
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.delivery.assembly import Assembly, assemble
from tests.delivery.nginx import round_robin
from tests.stack.client import Client, Doors
from tests.stack.prompt import Prompt
from tests.stack.shape import check_order
from tests.stack.stack import Stack

SEED = 4
CUTS = 200


def check(assembly: Assembly, prompt: Prompt) -> None:
    """Assert that it is the sim's text, each number once, with the cuts all over it."""
    assert assembly.cuts == CUTS
    assert assembly.text == prompt.text()
    check_order(assembly.events)


async def test_a_client_cut_200_times_at_random_has_the_whole_text(stack: Stack, session: str) -> None:
    """It comes back to a random replica each time, and assembles exactly what the model said, each event once."""
    chance = random.Random(SEED)
    prompt = Prompt(tokens=2000, rate=500)

    def anywhere(**query: str | int) -> AbstractAsyncContextManager[Client]:
        return stack.connect(chance.randrange(2), **query)

    assembly = await assemble(anywhere, prompt, session=session, cuts=CUTS, chance=chance)
    check(assembly, prompt)
    async with stack.connect(0, response_id=assembly.response_id) as replay:
        await replay.ending(assembly.response_id)
        assert replay.frames == assembly.frames
    assert (await stack.meter.ended(prompt.key)).finished


@pytest.mark.timeout(300)  # it may have to install nginx
async def test_the_same_through_nginx_round_robin_without_stickiness(
    stack: Stack, session: str, tmp_path: Path
) -> None:
    """Whatever replica a load balancer chooses will do: nothing about a client lives in a gateway."""
    prompt = Prompt(tokens=2000, rate=500)
    doors = Doors(stack.api_key)
    async with round_robin([gateway.port for gateway in stack.gateways], tmp_path) as url:

        def through_nginx(**query: str | int) -> AbstractAsyncContextManager[Client]:
            return doors.open(url, **query)

        assembly = await assemble(through_nginx, prompt, session=session, cuts=CUTS, chance=random.Random(SEED))
    check(assembly, prompt)
