"""The official SDK, unchanged, over HTTP: create, stream, retrieve, resume and cancel, on any replica."""

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import ResponseCompletedEvent, ResponseCreatedEvent, ResponseTextDeltaEvent

from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def test_a_plain_create_waits_for_the_whole_response(sdk: AsyncOpenAI) -> None:
    """`responses.create(...)` returns the completed Response with its text and exact usage."""
    prompt = Prompt()
    response = await sdk.responses.create(**prompt.body)
    assert response.status == "completed"
    assert response.output_text == prompt.text()
    assert response.usage is not None
    assert response.usage.output_tokens == prompt.tokens
    assert not response.background


async def test_a_streamed_create_is_iterated(sdk: AsyncOpenAI) -> None:
    """`create(stream=True)`: created, deltas, completed, by the SDK's types, numbered without gap; then the end."""
    prompt = Prompt()
    stream = await sdk.responses.create(**prompt.body, stream=True)
    events = [event async for event in stream]
    assert isinstance(events[0], ResponseCreatedEvent)
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)) == prompt.text()
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_its_stream_helper_accumulates_the_final_response(sdk: AsyncOpenAI) -> None:
    """`responses.stream(...)` ends with a final response that holds the text."""
    prompt = Prompt()
    async with sdk.responses.stream(**prompt.body) as stream:
        final = await stream.get_final_response()
    assert final.output_text == prompt.text()


async def test_its_stream_helper_resumes_by_id_on_another_replica(sdk: AsyncOpenAI, other_sdk: AsyncOpenAI) -> None:
    """`responses.stream(response_id=, starting_after=)` goes on after that event, and knows the whole text."""
    prompt = Prompt()
    response = await sdk.responses.create(**prompt.body)
    async with other_sdk.responses.stream(response_id=response.id, starting_after=10) as stream:
        numbers = [event.sequence_number async for event in stream]
        final = await stream.get_final_response()
    assert numbers[0] == 11
    assert final.output_text == prompt.text()


async def test_a_live_response_is_retrieved_as_it_stands(sdk: AsyncOpenAI, other_sdk: AsyncOpenAI) -> None:
    """In the background at once, then in progress with the text so far and no usage, then cancelled, from anywhere."""
    prompt = Prompt(tokens=2000, rate=100)
    queued = await sdk.responses.create(**prompt.body, background=True)
    assert queued.status in {"queued", "in_progress"}
    assert queued.background
    stream = await other_sdk.responses.retrieve(queued.id, stream=True)
    async with stream:
        async for event in stream:
            if isinstance(event, ResponseTextDeltaEvent):
                break
    live = await other_sdk.responses.retrieve(queued.id)
    assert live.status == "in_progress"
    assert live.output_text
    assert prompt.text().startswith(live.output_text)
    assert live.output[0].status == "in_progress"  # type: ignore[union-attr]
    assert live.usage is None
    cancelled = await other_sdk.responses.cancel(queued.id)
    assert cancelled.status == "cancelled"


async def test_cancel_from_another_replica_is_the_stop(sdk: AsyncOpenAI, other_sdk: AsyncOpenAI, stack: Stack) -> None:
    """`responses.cancel(id)` returns the full stopped Response, ends the stream elsewhere, and may be repeated."""
    prompt = Prompt(tokens=2000, rate=100)
    stream = await sdk.responses.create(**prompt.body, stream=True)
    response_id, deltas, cancelled = "", 0, None
    async for event in stream:
        if isinstance(event, ResponseCreatedEvent):
            response_id = event.response.id
        elif isinstance(event, ResponseTextDeltaEvent):
            deltas += 1
            if deltas == 3:
                cancelled = await other_sdk.responses.cancel(response_id)
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    assert cancelled.incomplete_details is None
    assert cancelled.usage is not None
    assert cancelled.model_extra is not None
    assert cancelled.model_extra["stop"]["upstream_closed_at"] is not None
    assert event.type == "response.incomplete"
    assert event.response == cancelled
    assert await sdk.responses.cancel(response_id) == cancelled
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_cancel_after_the_end_answers_with_the_response_as_it_ended(sdk: AsyncOpenAI) -> None:
    """Never 409, which the SDK would repeat: 200, completed, unchanged."""
    response = await sdk.responses.create(**Prompt().body)
    assert await sdk.responses.cancel(response.id) == response


async def test_retrieve_streams_what_came_after_a_number(sdk: AsyncOpenAI, other_sdk: AsyncOpenAI) -> None:
    """`retrieve(stream=True, starting_after=N)`, on the other replica: from N + 1 to the end."""
    response = await sdk.responses.create(**Prompt().body)
    stream = await other_sdk.responses.retrieve(response.id, stream=True, starting_after=7)
    events = [event async for event in stream]
    assert events[0].sequence_number == 8
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response == response
    after_all = await sdk.responses.retrieve(response.id, stream=True, starting_after=events[-1].sequence_number)
    assert [event async for event in after_all] == []


async def test_closing_a_resumed_stream_is_no_stop(sdk: AsyncOpenAI, stack: Stack) -> None:
    """Whoever only looks on may leave: the response goes on to its end."""
    prompt = Prompt(tokens=100, rate=100)
    queued = await sdk.responses.create(**prompt.body, background=True)
    async with await sdk.responses.retrieve(queued.id, stream=True) as stream:
        async for event in stream:
            if isinstance(event, ResponseTextDeltaEvent):
                break
    assert not (await stack.meter.ended(prompt.key)).client_closed
    again = await sdk.responses.retrieve(queued.id, stream=True)
    last = [event async for event in again][-1]
    assert isinstance(last, ResponseCompletedEvent)


async def test_a_conversation_goes_on_without_naming_its_session(sdk: AsyncOpenAI, stack: Stack) -> None:
    """`previous_response_id` alone finds the session, stored turns and all, as with OpenAI."""
    first = await sdk.responses.create(**Prompt(tokens=5).body)
    prompt = Prompt()
    second = await sdk.responses.create(**prompt.body, previous_response_id=first.id)
    assert second.status == "completed"
    (record,) = (await stack.meter.read(prompt.key)).requests
    assert first.output_text in record.prompt


async def test_a_previous_response_that_is_not_there_is_named(sdk: AsyncOpenAI) -> None:
    """OpenAI's own code, as an error of the request."""
    nowhere = new_response_id(session_tag(ANONYMOUS, SessionName("nobody was here")))
    with pytest.raises(BadRequestError) as refused:
        await sdk.responses.create(**Prompt().body, previous_response_id=nowhere)
    assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize("is_of_our_shape", [True, False])
async def test_an_unknown_id_raises_not_found(sdk: AsyncOpenAI, is_of_our_shape: bool) -> None:
    """Retrieve and cancel, with an id of our shape and without: 404 with OpenAI's error body."""
    response_id = new_response_id(session_tag(ANONYMOUS, SessionName("x"))) if is_of_our_shape else "resp_123"
    for refused in (sdk.responses.retrieve(response_id), sdk.responses.cancel(response_id)):
        with pytest.raises(NotFoundError) as raised:
            await refused
        assert raised.value.code == "response_not_found"
        assert raised.value.type == "invalid_request_error"
