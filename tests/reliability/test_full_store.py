"""A full server: what needs no room goes on."""

from collections.abc import AsyncIterator

import pytest

from tests.reliability.shop import Shop
from tests.reliability.test_four_paths import no_hints
from tests.stack.prompt import Prompt

__all__ = ["no_hints"]


@pytest.fixture
async def full(shop: Shop) -> AsyncIterator[None]:
    """Make room again, whatever the test did."""
    yield
    await shop.database.call("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.usefixtures("no_hints", "full")
async def test_a_mark_is_found_at_the_beat_also_in_a_full_store(shop: Shop) -> None:
    """The hint is lost and no append is taken: the look needs no room, and stops the silent stream."""
    prompt = Prompt(model="sim-silent")
    async with shop.worker(lease_s=2.0):
        response_id = await shop.start(prompt)
        await shop.database.call("CONFIG", "SET", "maxmemory", 1)
        await shop.stop(response_id)
        assert (await shop.ending(response_id, timeout_s=3.0))["status"] == "cancelled"
