"""What a `response.cancel` is answered: once, twice, too late, and for what is not there."""

import pytest

from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack


async def test_two_stops_at_once_from_two_replicas_are_both_accepted_and_end_it_once(stack: Stack) -> None:
    """Both are answered with the one time of the mark; the response has one ending."""
    prompt = Prompt(tokens=2000, rate=100)
    (worker,) = stack.workers
    async with stack.connect(0) as creator, stack.connect(0) as first, stack.connect(1) as second:
        response_id = await creator.start(prompt.body)
        await creator.text_begun(response_id)
        # Frozen for these milliseconds, the worker cannot settle between the two.
        worker.freeze()
        try:
            for stopper in (first, second):
                await stopper.cancel(response_id=response_id, event_id="both")
            accepted = [await stopper.event("response.cancel.accepted", event_id="both") for stopper in (first, second)]
        finally:
            worker.thaw()
        assert accepted[0]["stops"][0]["recorded"] == accepted[1]["stops"][0]["recorded"]
        done = [await stopper.event("response.cancel.done", event_id="both") for stopper in (first, second)]
        for each in done:
            each["stops"][0].pop("replicated")  # each asked a replica, at its own time
        assert done[0]["stops"] == done[1]["stops"]
        for client in (creator, first, second):
            assert await client.closed() == (1000, "stopped")
        check_responses(creator)


async def test_a_repeated_stop_keeps_the_words_of_the_first(stack: Stack) -> None:
    """Who stopped it, why and when is what the first stop said."""
    prompt = Prompt(tokens=2000, rate=100)
    (worker,) = stack.workers
    async with stack.connect(0) as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        worker.freeze()
        try:
            for reason in ("first", "second"):
                await client.cancel(response_id=response_id, reason=reason, event_id=reason)
                await client.event("response.cancel.accepted", event_id=reason)
        finally:
            worker.thaw()
        assert (await client.ending(response_id))["response"]["stop"]["reason"] == "first"
        await client.closed()


async def test_a_stop_after_the_end_changes_nothing_and_says_so(stack: Stack) -> None:
    """A completed response answers `response.cancel.failed`, `already_ended`; the socket stays and its replay too."""
    prompt = Prompt()
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        assert (await creator.ending(response_id))["type"] == "response.completed"
        await stopper.cancel(response_id=response_id, event_id="late")
        failed = await stopper.event("response.cancel.failed", event_id="late")
        assert failed["code"] == failed["error"]["code"] == "already_ended"
        await stopper.send("response.retrieve", response_id=response_id)
        assert (await stopper.ending(response_id))["response"]["status"] == "completed"
        assert stopper.close is None


async def test_a_stop_after_a_stop_says_that_it_has_ended(stack: Stack) -> None:
    """A stopped response is an ended one."""
    prompt = Prompt(tokens=2000, rate=100)
    async with stack.connect(0, on_stop="keep") as client:
        response_id = await client.start(prompt.body)
        await client.cancel(response_id=response_id)
        await client.event("response.cancel.done")
        await client.cancel(response_id=response_id, event_id="again")
        assert (await client.event("response.cancel.failed", event_id="again"))["code"] == "already_ended"


@pytest.mark.parametrize(
    "response_id",
    [
        pytest.param(new_response_id(session_tag(ANONYMOUS, SessionName("nobody"))), id="unknown"),
        pytest.param("resp_of_somebody_else", id="malformed"),
        pytest.param("", id="empty"),
    ],
)
@pytest.mark.parametrize("type_", ["response.cancel", "response.retrieve"])
async def test_an_id_that_is_not_there_is_not_found(stack: Stack, type_: str, response_id: str) -> None:
    """The answer is an `error`, `response_not_found`, 404, with the `event_id`; nothing else happens on the socket."""
    prompt = Prompt()
    async with stack.connect(0) as client:
        running = await client.start(prompt.body)
        await client.send(type_, response_id=response_id, event_id="evt")
        error = await client.event("error", event_id="evt")
        assert error["status"] == 404
        assert error["error"]["code"] == "response_not_found"
        assert error["error"]["param"] == "response_id"
        assert (await client.ending(running))["type"] == "response.completed"
        assert client.text(running) == prompt.text()
        assert client.close is None


async def test_a_stop_of_the_session_ends_all_of_it_and_none_of_another(stack: Stack) -> None:
    """Without an id or lane every live response of the session stops; unattached sockets stay, other sessions too."""
    mine = [Prompt(tokens=2000, rate=100) for _ in range(2)]
    other = Prompt(tokens=80, rate=100)
    session = f"session of {mine[0].key}"
    async with (
        stack.connect(0, session=session) as first,
        stack.connect(1, session=session) as second,
        stack.connect(0, session=session) as unattached,
        stack.connect(1, session=session) as stopper,
        stack.connect(1, session=f"another {session}") as foreign,
    ):
        ids = [await first.start(mine[0].body), await second.start(mine[1].body)]
        foreign_id = await foreign.start(other.body)
        for client, response_id in ((first, ids[0]), (second, ids[1]), (foreign, foreign_id)):
            await client.text_begun(response_id)
        await stopper.cancel(event_id="all")
        accepted = await stopper.event("response.cancel.accepted", event_id="all")
        assert {stop["response_id"] for stop in accepted["stops"]} == set(ids)
        for client, response_id in ((first, ids[0]), (second, ids[1])):
            assert (await client.ending(response_id))["response"]["status"] == "cancelled"
            assert await client.closed() == (1000, "stopped")
        assert await stopper.closed() == (1000, "stopped")
        assert (await foreign.ending(foreign_id))["response"]["status"] == "completed"
        assert foreign.text(foreign_id) == other.text()
        await unattached.send("ping", event_id="there")
        await unattached.event("pong", event_id="there")
        assert [event["type"] for event in unattached.events] == ["pong"]


async def test_a_stop_of_a_session_without_anything_live_says_so(stack: Stack) -> None:
    """Nothing left to stop: `response.cancel.failed`, `already_ended`, and the socket stays."""
    async with stack.connect(0) as client:
        await client.cancel(event_id="none")
        assert (await client.event("response.cancel.failed", event_id="none"))["code"] == "already_ended"
        await client.send("ping", event_id="there")
        await client.event("pong", event_id="there")
