import contextlib
import random

from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

DEVICES = 50


async def test_fifty_devices_see_the_same_bytes_and_any_of_them_stops_it(stack: Stack, session: str) -> None:
    """On both replicas, live, and in a replay: one stream, one ending; the stop closes them all with 1000 `stopped`."""
    chance = random.Random(50)
    prompt = Prompt(tokens=2000, rate=50)
    async with contextlib.AsyncExitStack() as opened:

        async def open_(number: int) -> Client:
            return await opened.enter_async_context(stack.connect(number % 2, session=session))

        devices = [await open_(number) for number in range(DEVICES)]
        creator = devices[0]
        response_id = await creator.start(prompt.body)
        for device in devices[1:]:
            await device.send("response.retrieve", response_id=response_id)
        for device in devices:
            await device.text_begun(response_id, deltas=10)
        await chance.choice(devices[1:]).cancel(response_id=response_id)
        assert [await device.closed() for device in devices] == [(1000, "stopped")] * DEVICES
    assert creator.of(response_id)[-1]["response"]["status"] == "cancelled"
    for number in range(2):
        async with stack.connect(number, session=session, response_id=response_id) as replay:
            await replay.closed()
            devices.append(replay)
    assert {tuple(device.frames_of(response_id)) for device in devices} == {tuple(creator.frames_of(response_id))}
    check_responses(creator)
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_second_device_finds_what_is_live_and_stops_it(stack: Stack, session: str) -> None:
    """It knows the session alone: a retrieve without an id attaches it, and a cancel without one stops it for both."""
    prompt = Prompt(tokens=2000, rate=50)
    async with stack.connect(0, session=session) as first, stack.connect(1, session=session) as second:
        response_id = await first.start(prompt.body)
        await first.text_begun(response_id)
        await second.send("response.retrieve", event_id="list")
        listed = await second.event("response.retrieve.accepted", event_id="list")
        assert listed["response_ids"] == [response_id]
        await second.text_begun(response_id)
        await second.cancel(reason="from my phone")
        assert await second.closed() == (1000, "stopped")
        assert await first.closed() == (1000, "stopped")
    assert first.frames_of(response_id) == second.frames_of(response_id)
    assert first.of(response_id)[-1]["response"]["stop"]["reason"] == "from my phone"


async def test_a_resumed_stream_is_stopped_like_any_other(stack: Stack, session: str) -> None:
    """Cut, resumed on the other replica, stopped there: the upstream is closed and the ending comes, once."""
    prompt = Prompt(tokens=2000, rate=50)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        client.socket.transport.abort()
    last = client.of(response_id)[-1]["sequence_number"]
    async with stack.connect(1, session=session, response_id=response_id, starting_after=last) as resumed:
        await resumed.text_begun(response_id)
        await resumed.cancel(response_id=response_id)
        await resumed.event("response.cancel.done")
        assert await resumed.closed() == (1000, "stopped")
    events = client.of(response_id) + resumed.of(response_id)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["status"] == "cancelled"
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_stop_while_nobody_is_attached_is_the_same_stop(stack: Stack, session: str) -> None:
    """The watching socket is gone; another one of the session, attached to nothing, stops it by its id."""
    prompt = Prompt(tokens=2000, rate=50)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        client.socket.transport.abort()
    async with stack.connect(1, session=session) as other:
        await other.cancel(response_id=response_id, reason="enough")
        done = await other.event("response.cancel.done")
        assert done["stops"][0]["settled"] is not None
        assert await other.closed() == (1000, "stopped")
        assert other.of(response_id) == []
    assert (await stack.meter.ended(prompt.key)).client_closed
    async with stack.connect(0, session=session, response_id=response_id) as replay:
        ending = (await replay.ending(response_id))["response"]
        assert (ending["status"], ending["stop"]["reason"]) == ("cancelled", "enough")
