"""Who stops and leaves in one breath, as an app that is put away does: nobody waits for the answer, the stop holds."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

REASON = "put away"


@pytest.fixture
def session() -> str:
    """Name a session that no other test has."""
    return f"leave-{uuid.uuid4().hex}"


@pytest.mark.parametrize("aims_at", ["response", "lane", "session"])
async def test_a_stop_of_a_client_that_leaves_at_once_takes_effect(stack: Stack, session: str, aims_at: str) -> None:
    """Whatever it aims at: the upstream is closed, and the ending says whose stop it was."""
    prompt = Prompt(tokens=5000, rate=100)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(prompt.body, stream_id="a")
        await client.text_begun(response_id)
        aim: dict[str, Any] = {"response": {"response_id": response_id}, "lane": {"stream_id": "a"}}.get(aims_at, {})
        await client.cancel(**aim, reason=REASON)
        await client.socket.close()
    assert not (await stack.meter.ended(prompt.key)).finished
    await was_stopped(stack, session, response_id)


async def test_a_stop_that_waits_its_turn_takes_effect_after_its_client_has_left(stack: Stack, session: str) -> None:
    """It stands behind creates that are under way: what they made is stopped with the rest."""
    first, second = Prompt(tokens=5000, rate=100), Prompt(tokens=5000, rate=100)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(first.body, stream_id="a")
        await client.text_begun(response_id)
        await client.create(second.body, stream_id="b")
        await client.cancel(reason=REASON)
        await client.socket.close()
    assert not (await stack.meter.ended(first.key)).finished
    await was_stopped(stack, session, response_id)
    await nothing_is_live(stack, session)


async def was_stopped(stack: Stack, session: str, response_id: str) -> None:
    """Ask a replica that knew nothing of it."""
    async with stack.connect(1, session=session) as other:
        await other.send("response.retrieve", response_id=response_id)
        response = (await other.ending(response_id))["response"]
        assert response["status"] == "cancelled"
        assert response["stop"]["reason"] == REASON


async def nothing_is_live(stack: Stack, session: str) -> None:
    """Ask until it is so: the endings are written a moment after the upstreams are closed."""
    async with asyncio.timeout(30), stack.connect(1, session=session) as other:
        asked = 0
        while True:
            asked += 1
            await other.send("response.retrieve", event_id=str(asked))
            answer = await other.event("response.retrieve.accepted", event_id=str(asked))
            if not answer["response_ids"]:
                return
