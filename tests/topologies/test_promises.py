"""The promises on Sentinel and on a cluster of three: the same as on one server."""

from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack
from tests.topologies.asking import assert_ended_once, stop


async def test_many_sessions_get_their_whole_texts(spread: Stack) -> None:
    """Wherever their slots are: each its own, in order and without gap."""
    prompts = [Prompt() for _ in range(12)]
    for number, prompt in enumerate(prompts):
        async with spread.connect(number % 2) as client:
            response_id = await client.start(prompt.body)
            ending = await client.ending(response_id)
            assert ending["type"] == "response.completed"
            assert client.text(response_id) == prompt.text()
            check_responses(client)
            await assert_ended_once(spread, response_id, "completed")


async def test_a_stop_asked_of_another_replica_ends_the_stream(spread: Stack) -> None:
    """Told to the worker, closed upstream, partial text, one ending, and a replica had the mark."""
    prompt = Prompt(tokens=5000, rate=100)
    async with spread.connect(0) as creator, spread.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        await stopper.cancel(response_id=response_id, event_id="stop")
        ending = await creator.ending(response_id)
        assert ending["response"]["status"] == "cancelled"
        (told,) = (await stopper.event("response.cancel.done", event_id="stop"))["stops"]
        assert told["recorded"] <= told["replicated"]
        assert told["upstream_closed"] <= told["settled"]
        assert (await spread.meter.ended(prompt.key)).client_closed
        assert await creator.closed() == (1000, "stopped")
    await assert_ended_once(spread, response_id, "cancelled")


async def test_a_cut_client_resumes_on_another_replica(spread: Stack) -> None:
    """From its last number on, then live, to the end."""
    prompt = Prompt(tokens=100, rate=100)
    async with spread.connect(0) as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id, deltas=10)
        last = client.of(response_id)[-1]["sequence_number"]
        begun = client.text(response_id)
    async with spread.connect(1, response_id=response_id, starting_after=last) as client:
        assert (await client.ending(response_id))["type"] == "response.completed"
        assert client.of(response_id)[0]["sequence_number"] == last + 1
        assert begun + client.text(response_id) == prompt.text()


async def test_a_response_that_waits_for_its_lane_runs_when_that_is_stopped(spread: Stack) -> None:
    """The stop gives the turn to the next: hints on one node, the job on another."""
    first, second = Prompt(tokens=5000, rate=100), Prompt()
    async with spread.connect(0, on_stop="keep") as client:
        first_id = await client.start(first.body, stream_id="lane")
        await client.create(second.body, stream_id="lane", event_id="second")
        await client.text_begun(first_id)
        await stop(client, first_id)
        await client.ending(first_id)
        second_id = (await client.until(lambda e: e["type"] == "response.created" and e["response_id"] != first_id))[
            "response_id"
        ]
        assert (await client.ending(second_id))["type"] == "response.completed"
        assert client.text(second_id) == second.text()
    for response_id, status in ((first_id, "cancelled"), (second_id, "completed")):
        await assert_ended_once(spread, response_id, status)


async def test_every_replica_says_that_it_is_ready(spread: Stack) -> None:
    """It reaches the servers and hears what they publish."""
    for gateway in spread.gateways:
        assert (await gateway.get("/readyz")).status_code == 200
