"""A function as the model: what it yields reaches the client, and a stop reaches it. Through the public doors."""

import re
from pathlib import Path

import pytest

from tests.own.conftest import Act
from tests.own.functions import SECRET
from tests.stack.client import Client, Event
from tests.stack.shape import check_responses
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until


async def _whole(client: Client, act: Act) -> Event:
    """Create, and follow to the end; return the ending's response."""
    response_id = await client.start(act.body)
    ending = await client.ending(response_id)
    check_responses(client)
    response: Event = ending["response"]
    return response


async def test_its_text_is_the_response(own: Stack, notes: Path) -> None:
    """Text is a message that grows; the usage that it does not tell is counted; no key of a model server is needed."""
    async with own.connect() as client:
        response = await _whole(client, Act(notes, "echo"))
    assert response["status"] == "completed"
    assert [item["type"] for item in response["output"]] == ["message"]
    assert response["output"][0]["content"][0]["text"] == "Hello, world"
    assert response["usage"]["source"] == "estimated"
    assert response["usage"]["output_tokens"] > 0


async def test_it_is_given_the_whole_conversation(own: Stack, notes: Path) -> None:
    """Its argument is the create's body; `input` is a list of items with the turns before it; nothing of the wire's."""
    act = Act(notes, "echo")
    async with own.connect(session=act.key) as client:
        first = await _whole(client, Act(notes, "echo"))
        second = await client.start(
            {**act.body, "input": "And?", "instructions": "Be brief."}, previous_response_id=first["id"]
        )
        await client.ending(second)
    request = await act.note("request")
    texts = [(item["role"], item["content"][0]["text"]) for item in request["input"]]
    assert texts == [("user", "Hi"), ("assistant", "Hello, world"), ("user", "And?")]
    assert request["model"] == "own-model"
    assert request["instructions"] == "Be brief."
    assert request["metadata"] == act.body["metadata"]
    assert not request.keys() & {"previous_response_id", "stream", "background", "stream_id", "type"}


async def test_text_tool_calls_and_the_sdks_events_mix(own: Stack, notes: Path) -> None:
    """Items are in the order of their coming, whatever the function numbers them by; usage is what it told."""
    async with own.connect() as client:
        response = await _whole(client, Act(notes, "agent"))
    said = [
        (item["type"], item["status"], item.get("arguments") or item["content"][0]["text"])
        for item in response["output"]
    ]
    assert said == [
        ("message", "completed", "Looking it up."),
        ("function_call", "completed", '{"a":1}'),
        ("message", "completed", "Found."),
        ("message", "completed", " Done."),
    ]
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (11, 7)
    assert response["usage"]["source"] == "upstream"


async def test_a_stop_cancels_it_where_it_waits(own: Stack, notes: Path) -> None:
    """CancelledError at its await; its `finally` runs in its own task and context, before the ending is told."""
    act = Act(notes, "forever")
    async with own.connect(0) as client, own.connect(1) as other:
        response_id = await client.start(act.body)
        await client.text_begun(response_id, deltas=1)
        await other.cancel(response_id=response_id)
        response = (await client.ending(response_id))["response"]
        check_responses(client)
    assert response["status"] == "cancelled"
    assert response["output"][0]["content"][0]["text"] == "begun"
    assert response["stop"]["upstream_closed_at"] is not None
    assert act.noted("cancelled")
    assert await act.note("finally") == {"place": "inside", "same_task": True}


async def test_a_stop_closes_it_where_it_yields(own: Stack, notes: Path) -> None:
    """Held back at a `yield`, it is closed there, in its own task and context."""
    act = Act(notes, "chatty")
    async with own.connect() as client:
        response_id = await client.start(act.body)
        await client.text_begun(response_id, deltas=1)
        await client.cancel(response_id=response_id)
        assert (await client.ending(response_id))["response"]["status"] == "cancelled"
    assert await act.note("finally") == {"place": "inside", "same_task": True}


async def test_a_stop_before_its_first_word_cancels_it(own: Stack, notes: Path) -> None:
    """A function that only thinks is stopped as well."""
    act = Act(notes, "silent")
    async with own.connect() as client:
        response_id = await client.start(act.body)
        await client.event("response.in_progress", response_id=response_id)
        await client.cancel(response_id=response_id)
        assert (await client.ending(response_id))["response"]["status"] == "cancelled"


async def test_what_a_stopped_one_says_is_never_logged(own: Stack, notes: Path) -> None:
    """One that swallows its cancellation and speaks is closed at that very `yield`, and nobody hears it."""
    act = Act(notes, "deaf")
    async with own.connect() as client:
        response_id = await client.start(act.body)
        await client.text_begun(response_id, deltas=1)
        await client.cancel(response_id=response_id)
        await client.ending(response_id)
        assert client.text(response_id) == "begun"
    await act.note("finally")
    assert act.noted("swallowed")
    assert not act.noted("resumed")


async def test_a_stopped_one_has_the_usage_that_it_told(own: Stack, notes: Path) -> None:
    """Running usage, told by an opening event, is the usage of a stopped response."""
    act = Act(notes, "counts")
    async with own.connect() as client:
        response_id = await client.start(act.body)
        await client.until(lambda _: client.text(response_id) == "begun and counted")
        await client.cancel(response_id=response_id)
        usage = (await client.ending(response_id))["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["source"]) == (3, 1, "upstream")


async def test_one_that_is_slow_to_close_is_not_waited_for(own: Stack, notes: Path) -> None:
    """After the grace the response is settled; what it was doing to clean up goes on undisturbed."""
    act = Act(notes, "slow_to_close")
    async with own.connect() as client:
        response_id = await client.start(act.body)
        await client.text_begun(response_id, deltas=1)
        await client.cancel(response_id=response_id)
        response = (await client.ending(response_id))["response"]
    assert not act.noted("closed")
    assert response["stop"]["upstream_closed_at"] is None
    await act.note("closed")
    (worker,) = own.workers
    await wait_until(lambda: worker.log_events("source.ended_late"), what="its end is logged")


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ("raises", "LookupError"),
        ("raises_at_once", r"ExceptionGroup \(ValueError, msgspec.DecodeError\)"),
        ("exits", "SystemExit"),
        ("cancels_itself", "asyncio.CancelledError"),
    ],
)
async def test_its_exception_is_the_responses_failure(own: Stack, notes: Path, do: str, error: str) -> None:
    """The class is named, the text is not: not to the client, nor in the log. It is not run again; the worker lives."""
    act = Act(notes, do)
    async with own.connect() as client:
        response = await _whole(client, act)
        assert response["status"] == "failed"
        assert response["error"]["type"] == "source_failed"
        assert re.search(rf"tests\.own\.functions:answer raised {error}\.", response["error"]["message"])
        assert not any(SECRET in frame for frame in client.frames)
        assert (await _whole(client, Act(notes, "echo")))["status"] == "completed"
    (worker,) = own.workers
    assert SECRET not in worker.log()
    assert "tests/own/functions.py" in worker.log_events("source.raised")[-1]["places"][-1]
    if do == "raises_at_once":
        assert (notes / f"{act.key}.tries").read_text() == "x"


@pytest.mark.parametrize(
    ("do", "what"),
    [("number", "an object of type int"), ("unknown", "an event of type 'response.output_txt.delta'")],
)
async def test_a_yield_that_is_none_fails_the_response(own: Stack, notes: Path, do: str, what: str) -> None:
    """The message names the function and the kind of what it yielded; it is closed there."""
    act = Act(notes, do)
    async with own.connect() as client:
        response = await _whole(client, act)
        assert not any(SECRET in frame for frame in client.frames)
    assert response["error"]["type"] == "source_garbage"
    assert f"tests.own.functions:answer yielded {what}." in response["error"]["message"]
    assert not act.noted("resumed")
