"""Retrieve: a response from another socket, on any replica, without gap or duplicate."""

import pytest

from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack


@pytest.mark.parametrize("after", [None, 0, 7])
async def test_an_ended_response_replays_the_same_bytes_on_another_replica(stack: Stack, after: int | None) -> None:
    """`starting_after` is the last number that the client has: what follows it comes, byte for byte."""
    prompt = Prompt(rate=0)
    async with stack.connect(0) as creator, stack.connect(1) as viewer:
        response_id = await creator.start(prompt.body)
        await creator.ending(response_id)
        members = {} if after is None else {"starting_after": after}
        await viewer.send("response.retrieve", response_id=response_id, **members)
        await viewer.ending(response_id)
        frames = creator.frames_of(response_id)
        assert viewer.frames == (frames if after is None else frames[after + 1 :])
        assert viewer.close is None


async def test_a_live_response_is_replayed_and_then_followed(stack: Stack) -> None:
    """Who comes in the middle gets the log first, then what is live: the same frames as the creator, no gap between."""
    prompt = Prompt(tokens=80, rate=100)
    async with stack.connect(0) as creator, stack.connect(1) as viewer, stack.connect(0) as second:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id, deltas=10)
        for client in (viewer, second):
            await client.send("response.retrieve", response_id=response_id)
            assert client.close is None
        for client in (creator, viewer, second):
            await client.ending(response_id)
        assert viewer.frames == second.frames == creator.frames_of(response_id)
        check_responses(viewer)


async def test_a_query_retrieves_as_the_first_frame_would(stack: Stack) -> None:
    """The SDK's reconnect hook can change only the query: `response_id` and `starting_after` are enough there."""
    prompt = Prompt(rate=0)
    async with stack.connect(0) as creator:
        response_id = await creator.start(prompt.body)
        await creator.ending(response_id)
        frames = creator.frames_of(response_id)
    async with stack.connect(1, response_id=response_id, starting_after=4) as viewer:
        await viewer.ending(response_id)
        assert viewer.frames == frames[5:]
    async with stack.connect(1, response_id=response_id) as viewer:
        await viewer.ending(response_id)
        assert viewer.frames == frames


async def test_a_socket_that_leaves_is_no_stop(stack: Stack) -> None:
    """The creator goes away in the middle; the response runs to its end and is replayed whole elsewhere."""
    prompt = Prompt(tokens=60, rate=100)
    async with stack.connect(0) as creator:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        seen = creator.frames_of(response_id)
    async with stack.connect(1, response_id=response_id) as viewer:
        assert (await viewer.ending(response_id))["response"]["status"] == "completed"
        assert viewer.text(response_id) == prompt.text()
        assert viewer.frames[: len(seen)] == seen
        check_responses(viewer)


async def test_retrieving_again_on_one_socket_starts_over_and_delivers_once(stack: Stack) -> None:
    """A second retrieve replaces the first: from where it says, each later event once."""
    prompt = Prompt(rate=0)
    async with stack.connect(0) as client:
        response_id = await client.start(prompt.body)
        await client.ending(response_id)
        frames = client.frames_of(response_id)
        await client.send("response.retrieve", response_id=response_id, starting_after=len(frames) - 2)
        await client.until(lambda _: client.frames_of(response_id) == [*frames, frames[-1]])
        await client.send("ping", event_id="no more")
        await client.event("pong", event_id="no more")
        assert len(client.frames_of(response_id)) == len(frames) + 1


async def test_a_stopped_response_is_replayed_to_its_stopped_ending(stack: Stack) -> None:
    """A replay of what was stopped ends with the same terminal event, and closes the socket as the stop did."""
    prompt = Prompt(tokens=2000, rate=100)
    async with stack.connect(0) as creator:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        await creator.cancel()
        await creator.closed()
    async with stack.connect(1, response_id=response_id) as viewer:
        assert (await viewer.ending(response_id))["response"]["status"] == "cancelled"
        assert viewer.frames == creator.frames_of(response_id)
