"""Lanes: responses side by side on one socket, one after another within a lane."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from andon import keys
from andon.ids import ANONYMOUS, SessionName, session_tag
from tests.stack.client import Client, Event
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack
from tests.stack.valkey import members
from tests.stack.waiting import wait_until

_MOST_WAITING = 16
_MOST_LANES = 32


def _lane(lane: str | None) -> dict[str, Any]:
    return {} if lane is None else {"stream_id": lane}


async def _endings(client: Client, count: int) -> list[Event]:
    """Wait until so many responses have ended; return their endings in the order of their creation."""
    ended = {"response.completed", "response.incomplete", "response.failed"}
    await client.until(lambda _: sum(event["type"] in ended for event in client.events) == count)
    return [await client.ending(response_id) for response_id in client.response_ids()]


async def test_two_lanes_run_side_by_side(stack: Stack) -> None:
    """Text of each lane comes before the other one ends, and every event names its lane."""
    prompts = {"a": Prompt(tokens=40, rate=100), "b": Prompt(tokens=40, rate=100)}
    async with stack.connect() as client:
        for lane, prompt in prompts.items():
            await client.create(prompt.body, stream_id=lane)
        endings = await _endings(client, 2)
        first_ending = min(client.place(ending) for ending in endings)
        for lane, prompt in prompts.items():
            events = [event for event in client.events if event.get("stream_id") == lane]
            (response_id,) = {event["response_id"] for event in events}
            assert events == client.of(response_id)
            assert client.text(response_id) == prompt.text()
            deltas = client.all("response.output_text.delta", stream_id=lane)
            assert client.place(deltas[0]) < first_ending
        check_responses(client)


@pytest.mark.parametrize("lane", [None, "work"], ids=["unnamed", "named"])
async def test_creates_of_one_lane_run_one_after_another(stack: Stack, lane: str | None) -> None:
    """The second response is created only after the first one's terminal event, in the order of the creates."""
    prompts = [Prompt(tokens=20) for _ in range(3)]
    async with stack.connect() as client:
        for prompt in prompts:
            await client.create(prompt.body, **_lane(lane))
        endings = await _endings(client, len(prompts))
        order = client.response_ids()
        assert [client.text(response_id) for response_id in order] == [prompt.text() for prompt in prompts]
        for ending, response_id in zip(endings[:-1], order[1:], strict=True):
            assert client.place(ending) < client.place(client.of(response_id)[0])
        assert all(event.get("stream_id") == lane for event in client.events)
        check_responses(client)


async def test_a_stop_of_a_lane_ends_that_lane_alone(stack: Stack) -> None:
    """`stream_id` stops the running response of that lane; the other goes on to its end, then the socket closes."""
    stopped, other = Prompt(tokens=2000, rate=100), Prompt(tokens=60, rate=100)
    async with stack.connect() as client:
        stopped_id = await client.start(stopped.body, stream_id="a")
        other_id = await client.start(other.body, stream_id="b")
        await client.text_begun(stopped_id)
        await client.cancel(stream_id="a")
        assert (await client.ending(stopped_id))["response"]["status"] == "cancelled"
        assert (await client.ending(other_id))["response"]["status"] == "completed"
        assert client.text(other_id) == other.text()
        assert await client.closed() == (1000, "stopped")
        check_responses(client)


async def test_a_stop_of_a_lane_also_ends_what_waits_in_it_unstarted(stack: Stack) -> None:
    """What waits in the lane is stopped with it: each gets its one ending, and the model is never asked for them."""
    running, *waiting = (Prompt(tokens=2000, rate=100) for _ in range(3))
    async with stack.connect() as client:
        running_id = await client.start(running.body, stream_id="a")
        for prompt in waiting:
            await client.create(prompt.body, stream_id="a")
        await client.text_begun(running_id)
        await client.cancel(stream_id="a", event_id="lane")
        done = await client.event("response.cancel.done", event_id="lane")
        assert await client.closed() == (1000, "stopped")
        assert len(done["stops"]) == len(client.response_ids()) == 3
        for response_id in client.response_ids():
            assert (await client.ending(response_id))["response"]["status"] == "cancelled"
        for prompt in waiting:
            assert (await stack.meter.read(prompt.key)).requests == []
        check_responses(client)


async def test_the_seventeenth_waiting_create_is_refused_and_the_sixteen_are_not(stack: Stack) -> None:
    """A full lane says so with its name and the `event_id`; those that wait keep their turn and can be stopped."""
    prompts = [Prompt(model="sim-silent") for _ in range(1 + _MOST_WAITING)]
    async with stack.connect() as client:
        for prompt in prompts:
            await client.create(prompt.body, stream_id="full")
        await client.create(Prompt().body, stream_id="full", event_id="one too many")
        error = await client.event("error", event_id="one too many")
        assert error["status"] == 429
        assert error["error"]["code"] == "lane_full"
        assert error["stream_id"] == "full"
        assert str(_MOST_WAITING) in error["error"]["message"]
        await client.cancel(stream_id="full")
        done = await client.event("response.cancel.done")
        assert len(done["stops"]) == len(prompts)
        assert all(stop["settled"] for stop in done["stops"])
        assert await client.closed() == (1000, "stopped")


async def test_too_many_lanes_are_refused_and_the_others_go_on(stack: Stack) -> None:
    """One lane over the bound is `websocket_stream_limit_reached`, in OpenAI's own word."""
    async with stack.connect() as client:
        for number in range(_MOST_LANES):
            await client.create(Prompt(model="sim-silent").body, stream_id=f"lane-{number}")
        await client.create(Prompt().body, stream_id="over", event_id="over")
        error = await client.event("error", event_id="over")
        assert error["error"]["code"] == "websocket_stream_limit_reached"
        assert error["stream_id"] == "over"
        await client.cancel()
        assert len((await client.event("response.cancel.done"))["stops"]) == _MOST_LANES
        assert await client.closed() == (1000, "stopped")


@pytest.mark.parametrize("stream_id", ["", "with space", "ä", "x" * 257, 7, ["a"]], ids=repr)
async def test_a_bad_stream_id_is_named_as_such(stack: Stack, stream_id: object) -> None:
    """`invalid_stream_id` names the field; without `stream_id` on the error, for there is no such lane."""
    async with stack.connect() as client:
        for number, type_ in enumerate(("response.create", "response.cancel")):
            await client.send(type_, **Prompt().body, stream_id=stream_id, event_id=str(number))
            error = await client.event("error", event_id=str(number))
            assert error["error"]["code"] == "invalid_stream_id"
            assert error["error"]["param"] == "stream_id"
            assert error["status"] == 400
            assert "stream_id" not in error


async def test_a_lane_of_another_socket_is_unknown_here(stack: Stack) -> None:
    """A lane belongs to its socket, within one session too: the other socket's stop reaches nothing."""
    prompt = Prompt(tokens=60, rate=100)
    session = f"session of {prompt.key}"
    async with stack.connect(0, session=session) as owner, stack.connect(0, session=session) as other:
        response_id = await owner.start(prompt.body, stream_id="mine")
        await other.cancel(stream_id="mine", event_id="evt")
        error = await other.event("error", event_id="evt")
        assert error["status"] == 404
        assert error["error"]["param"] == "stream_id"
        assert (await owner.ending(response_id))["response"]["status"] == "completed"
        assert owner.text(response_id) == prompt.text()


async def test_a_waiting_create_survives_its_gateway(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """The gateway dies by `kill -9`: what ran and what waited in the lane come to their ends, another gateway shows."""
    running, waiting = Prompt(tokens=60, rate=60), Prompt()
    session = SessionName(f"session of {running.key}")
    async with own_stack(gateways=2, workers=1) as stack:
        async with stack.connect(0, session=session) as client:
            running_id = await client.start(running.body, stream_id="lane")
            await client.create(waiting.body, stream_id="lane")
            live = keys.live(session_tag(ANONYMOUS, session))
            await wait_until(lambda: len(members(stack.servers, live)) == 2, what="both are accepted")
            (waiting_id,) = members(stack.servers, live) - {running_id}
            await stack.gateways[0].kill()
            assert (await client.closed())[0] == 1006
        async with stack.connect(1) as other:
            for response_id, prompt in ((running_id, running), (waiting_id, waiting)):
                await other.send("response.retrieve", response_id=response_id)
                assert (await other.ending(response_id))["response"]["status"] == "completed"
                assert other.text(response_id) == prompt.text()
            check_responses(other)
