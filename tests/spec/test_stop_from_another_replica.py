"""The main job: a stop asked of any replica ends the one right upstream stream."""

from typing import Any

from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

_OTHERS = 20
_CLOSED_WITHIN_S = 1.0  # a millisecond as a rule; the bound is for a loaded machine


async def _whole_text(client: Client, response_id: str, prompt: Prompt) -> None:
    ending = await client.ending(response_id)
    assert ending["type"] == "response.completed"
    assert client.text(response_id) == prompt.text()
    assert ending["response"]["output"][0]["content"][0]["text"] == prompt.text()


def _assert_partial(response: dict[str, Any], text: str, prompt: Prompt) -> None:
    (item,) = response["output"]
    assert item["status"] == "incomplete"
    assert item["content"][0]["text"] == text
    assert 0 < len(text) < len(prompt.text())
    assert prompt.text().startswith(text)


async def test_a_stop_asked_of_b_ends_the_stream_created_on_a(stack: Stack) -> None:
    """The upstream connection is closed; A gets the partial text, usage and stop, then close 1000 `stopped`."""
    prompt = Prompt(tokens=2000, rate=100)
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        await stopper.cancel(response_id=response_id, reason="enough", event_id="evt_1")

        ending = await creator.ending(response_id)
        assert ending["type"] == "response.incomplete"
        response = ending["response"]
        assert response["status"] == "cancelled"
        assert response["incomplete_details"] is None
        assert response["error"] is None
        _assert_partial(response, creator.text(response_id), prompt)
        assert response["usage"]["source"] == "estimated"
        assert response["usage"]["output_tokens"] > 0
        assert response["usage"]["input_tokens"] > 0
        stop = response["stop"]
        assert stop["by"] == "anonymous"
        assert stop["reason"] == "enough"
        assert response["created_at"] <= stop["requested_at"] <= stop["upstream_closed_at"]
        assert await creator.closed() == (1000, "stopped")
        assert creator.events[-1] is ending

        record = await stack.meter.ended(prompt.key)
        assert record.client_closed
        assert record.closed_at is not None
        assert record.closed_at - stop["requested_at"] < _CLOSED_WITHIN_S
        assert not record.finished
        assert record.tokens_generated < prompt.tokens
        check_responses(creator)


async def test_the_asking_socket_hears_accepted_then_done_then_its_close(stack: Stack) -> None:
    """B gets `accepted` once the stop is durable, `done` with every time, both with the `event_id`, then the close."""
    prompt = Prompt(tokens=2000, rate=100)
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        await stopper.cancel(response_id=response_id, event_id="evt_1")
        assert await stopper.closed() == (1000, "stopped")

        accepted, done = stopper.events
        assert accepted["type"] == "response.cancel.accepted"
        assert done["type"] == "response.cancel.done"
        assert accepted["event_id"] == done["event_id"] == "evt_1"
        (durable,), (settled,) = accepted["stops"], done["stops"]
        assert durable["response_id"] == settled["response_id"] == response_id
        assert durable["recorded"] == settled["recorded"]
        assert settled["recorded"] <= settled["acked"] <= settled["upstream_closed"] <= settled["settled"]

        stop = (await creator.ending(response_id))["response"]["stop"]
        assert stop["requested_at"] == settled["recorded"]
        await creator.closed()


async def test_twenty_other_streams_of_the_same_worker_go_on_untouched(stack: Stack) -> None:
    """A stop reaches one job and no other: their texts come whole and exact, and no connection of theirs is closed."""
    others = [Prompt(tokens=120, rate=100) for _ in range(_OTHERS)]
    target = Prompt(tokens=2000, rate=100)
    async with stack.connect(0) as crowd, stack.connect(1) as creator, stack.connect(0) as stopper:
        ids = [await crowd.start(prompt.body, stream_id=f"lane-{n}") for n, prompt in enumerate(others)]
        target_id = await creator.start(target.body)
        await creator.text_begun(target_id)
        for response_id in ids:
            await crowd.text_begun(response_id, deltas=1)
        await stopper.cancel(response_id=target_id)
        await creator.ending(target_id)

        for response_id, prompt in zip(ids, others, strict=True):
            await _whole_text(crowd, response_id, prompt)
            record = await stack.meter.ended(prompt.key)
            assert record.finished
            assert not record.client_closed
        assert crowd.close is None
        assert (await stack.meter.ended(target.key)).client_closed
        check_responses(crowd)


async def test_a_kept_socket_creates_again_after_a_stop(stack: Stack) -> None:
    """With `on_stop=keep` the stop leaves the sockets open: the next create runs to its end on the same one."""
    first, second = Prompt(tokens=2000, rate=100), Prompt()
    async with stack.connect(0, on_stop="keep") as client:
        response_id = await client.start(first.body)
        await client.text_begun(response_id)
        await client.cancel(response_id=response_id)
        ending = await client.ending(response_id)
        assert ending["response"]["status"] == "cancelled"
        await client.event("response.cancel.done")

        again = await client.start(second.body)
        await _whole_text(client, again, second)
        assert client.close is None
        check_responses(client)


async def test_a_socket_with_another_live_response_stays_open_until_that_ends(stack: Stack) -> None:
    """A stop closes a socket only when nothing else is live on it: the other lane first comes to its end."""
    stopped, other = Prompt(tokens=2000, rate=100), Prompt(tokens=60, rate=100)
    async with stack.connect(0) as client, stack.connect(1) as stopper:
        stopped_id = await client.start(stopped.body, stream_id="a")
        other_id = await client.start(other.body, stream_id="b")
        await client.text_begun(stopped_id)
        await stopper.cancel(response_id=stopped_id)
        ending = await client.ending(stopped_id)
        await _whole_text(client, other_id, other)
        assert await client.closed() == (1000, "stopped")
        assert client.place(ending) < client.place(await client.ending(other_id))


async def test_every_attached_socket_sees_the_same_terminal_event(stack: Stack) -> None:
    """Sockets that created or retrieved a response get byte for byte the same ending, and are all closed by it."""
    prompt = Prompt(tokens=2000, rate=100)
    async with stack.connect(0) as creator, stack.connect(1) as viewer, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await viewer.send("response.retrieve", response_id=response_id)
        await viewer.text_begun(response_id)
        await stopper.cancel(response_id=response_id)
        for client in (creator, viewer, stopper):
            assert await client.closed() == (1000, "stopped")
        assert creator.frames_of(response_id) == viewer.frames_of(response_id)
