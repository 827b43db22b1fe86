"""The official SDK, unchanged, is a client: `AsyncOpenAI(base_url=...).responses.connect()`."""

import pytest
from openai import AsyncOpenAI
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketError,
    ResponsesWebSocketLimits,
)
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseIncompleteEvent,
    ResponsesClientEvent,
    ResponseTextDeltaEvent,
)
from pydantic import TypeAdapter
from websockets.exceptions import InvalidStatus

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_LIMITS = ResponsesWebSocketLimits(
    max_lanes=8, max_events_per_lane=5000, max_events=10_000, max_bytes_per_lane=2**24, max_bytes=2**25
)


async def test_it_creates_and_iterates_events_of_its_own_types(sdk: AsyncOpenAI) -> None:
    """`response.create` and iteration: created, deltas, completed, by the SDK's types, and its `output_text`."""
    prompt = Prompt()
    async with sdk.responses.connect() as connection:
        body = prompt.body
        await connection.response.create(model=prompt.model, input=body["input"], metadata=body["metadata"])
        created, text = False, ""
        async for event in connection:
            if isinstance(event, ResponseCreatedEvent):
                created = True
            elif isinstance(event, ResponseTextDeltaEvent):
                text += event.delta
            elif isinstance(event, ResponseCompletedEvent):
                break
        else:
            raise AssertionError("the connection ended before response.completed")
        assert created
        assert text == event.response.output_text == prompt.text()
        assert event.response.status == "completed"
        assert event.response.usage is not None
        assert event.response.usage.output_tokens == prompt.tokens


async def test_its_cancel_ends_the_iteration_cleanly(sdk: AsyncOpenAI, stack: Stack) -> None:
    """A `response.cancel` sent as a plain event stops the response; the iteration ends by itself, without an error."""
    prompt = Prompt(tokens=2000, rate=100)
    ending, response_id, deltas, types = None, "", 0, []
    async with sdk.responses.connect() as connection:
        body = prompt.body
        await connection.response.create(model=prompt.model, input=body["input"], metadata=body["metadata"])
        async for event in connection:
            types.append(event.type)
            if isinstance(event, ResponseCreatedEvent):
                response_id = event.response.id
            elif isinstance(event, ResponseTextDeltaEvent):
                deltas += 1
                if deltas == 3:
                    await connection.send({"type": "response.cancel", "response_id": response_id})  # type: ignore[arg-type]
            elif isinstance(event, ResponseIncompleteEvent):
                ending = event
    assert ending is not None
    assert ending.response.status == "cancelled"
    assert ending.response.incomplete_details is None
    assert prompt.text().startswith(ending.response.output_text)
    assert ending.response.output_text
    assert ending.response.usage is not None
    assert "response.cancel.accepted" in types
    assert "response.cancel.done" in types
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_its_lanes_run_side_by_side_and_one_is_stopped(sdk: AsyncOpenAI) -> None:
    """Two lanes of its session helper: one is stopped by its `stream_id`, the other one's final response is whole."""
    stopped, whole = Prompt(tokens=2000, rate=100), Prompt(tokens=60, rate=100)
    async with (
        sdk.responses.connect(extra_query={"on_stop": "keep"}) as connection,
        AsyncResponsesWebSocketSession(connection, limits=_LIMITS) as session,
    ):
        first, second = session.lane("first"), session.lane("second")
        to_event: TypeAdapter[ResponsesClientEvent] = TypeAdapter(ResponsesClientEvent)
        for lane, prompt in ((first, stopped), (second, whole)):
            await lane.send(to_event.validate_python({"type": "response.create", **prompt.body}))
        while not isinstance(await first.recv(), ResponseTextDeltaEvent):
            pass
        await connection.send({"type": "response.cancel", "stream_id": "first"})  # type: ignore[arg-type]
        cancelled = await first.get_final_response()
        completed = await second.get_final_response()
    assert cancelled.status == "cancelled"
    assert stopped.text().startswith(cancelled.output_text)
    assert completed.status == "completed"
    assert completed.output_text == whole.text()


async def test_an_error_of_a_create_ends_the_wait_of_its_lane(sdk: AsyncOpenAI) -> None:
    """A refused create of a named lane is that lane's error, so its `get_final_response()` does not hang."""
    async with (
        sdk.responses.connect() as connection,
        AsyncResponsesWebSocketSession(connection, limits=_LIMITS) as session,
    ):
        lane = session.lane("work")
        await lane.send({"type": "response.create", "model": "sim", "input": "hello", "background": True})
        with pytest.raises(ResponsesWebSocketError) as refused:
            await lane.get_final_response()
    assert getattr(refused.value.event, "stream_id", None) == "work"


async def test_it_resumes_by_the_query_that_its_reconnect_hook_may_change(sdk: AsyncOpenAI, stack: Stack) -> None:
    """`response_id` and `starting_after` in `extra_query` continue a response where another socket left it."""
    prompt = Prompt(rate=0)
    async with stack.connect(1) as client:
        response_id = await client.start(prompt.body)
        await client.ending(response_id)
        last = client.deltas(response_id)[-1]
        after = client.all("response.output_text.delta")[-1]["sequence_number"] - 1
    query = {"response_id": response_id, "starting_after": after}
    async with sdk.responses.connect(extra_query=query) as connection:
        first = await connection.recv()
    assert isinstance(first, ResponseTextDeltaEvent)
    assert first.delta == last


async def test_a_refused_handshake_raises_at_once(sdk: AsyncOpenAI) -> None:
    """A bad query parameter is HTTP 400 with the error's JSON, which the SDK raises as it is."""
    with pytest.raises(InvalidStatus) as refused:
        async with sdk.responses.connect(extra_query={"on_stop": "never"}):
            pass
    assert refused.value.response.status_code == 400
