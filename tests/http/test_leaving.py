"""Closing the connection is the stop, unless the request said otherwise."""

import asyncio
import time

import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from tests.http.sse import sent, text_begun
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_SOON_S = 1.0


async def test_closing_a_stream_closes_the_upstream_within_a_second(sdk: AsyncOpenAI, stack: Stack) -> None:
    """A `break` out of the SDK's stream, closed: the model server sees its connection closed at once."""
    prompt = Prompt(tokens=2000, rate=100)
    async with await sdk.responses.create(**prompt.body, stream=True) as stream:
        async for event in stream:
            if isinstance(event, ResponseTextDeltaEvent):
                break
    left_at = time.time()
    record = await stack.meter.ended(prompt.key)
    assert record.client_closed
    assert record.closed_at is not None
    assert record.closed_at - left_at < _SOON_S


async def test_the_stop_of_a_closed_stream_says_so(http: httpx2.AsyncClient, stack: Stack) -> None:
    """The Response is kept, cancelled, with its partial text and the reason `disconnected`."""
    prompt = Prompt(tokens=2000, rate=100)
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        response_id = reply.headers["x-andon-response-id"]
        await text_begun(sent(reply))
    assert (await stack.meter.ended(prompt.key)).client_closed
    stopped = (await http.post(f"/v1/responses/{response_id}/cancel")).json()
    assert stopped["status"] == "cancelled"
    assert stopped["stop"]["reason"] == "disconnected"
    assert prompt.text().startswith(stopped["output"][0]["content"][0]["text"])


async def test_cancelling_a_plain_create_stops_it(sdk: AsyncOpenAI, stack: Stack) -> None:
    """The request waits for the end; its caller does not: the upstream is closed within a second."""
    prompt = Prompt(tokens=2000, rate=100)
    waiting = asyncio.create_task(sdk.responses.create(**prompt.body))
    await stack.meter.opened(prompt.key)
    waiting.cancel()
    left_at = time.time()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    record = await stack.meter.ended(prompt.key)
    assert record.client_closed
    assert record.closed_at is not None
    assert record.closed_at - left_at < _SOON_S


async def test_leaving_before_the_first_token_stops_it_too(http: httpx2.AsyncClient, stack: Stack) -> None:
    """A client that leaves while the model thinks is noticed just the same."""
    prompt = Prompt(ttft_s=30.0)
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        assert reply.status_code == 200
        await stack.meter.opened(prompt.key)
    record = await stack.meter.ended(prompt.key)
    assert record.client_closed
    assert record.tokens_generated == 0


@pytest.mark.parametrize("members", [{"on_disconnect": "detach"}, {"background": True}])
async def test_a_detached_response_goes_on_without_its_client(
    http: httpx2.AsyncClient, stack: Stack, members: dict[str, object]
) -> None:
    """`"on_disconnect": "detach"`, or the background: closing the stream changes nothing."""
    prompt = Prompt(tokens=100, rate=100)
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True, **members}) as reply:
        response_id = reply.headers["x-andon-response-id"]
        await text_begun(sent(reply))
    assert not (await stack.meter.ended(prompt.key)).client_closed
    async with http.stream("GET", f"/v1/responses/{response_id}", params={"stream": "true"}) as reply:
        last = [one async for one in sent(reply)][-1].event
    assert last["response"]["status"] == "completed"


async def test_a_background_stream_can_ask_to_be_stopped_by_its_closing(http: httpx2.AsyncClient, stack: Stack) -> None:
    """`"on_disconnect": "stop"` is heard in the background as well."""
    prompt = Prompt(tokens=2000, rate=100)
    asked = {**prompt.body, "stream": True, "background": True, "on_disconnect": "stop"}
    async with http.stream("POST", "/v1/responses", json=asked) as reply:
        await text_begun(sent(reply))
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_streaming_request_counts_as_attached(http: httpx2.AsyncClient) -> None:
    """A response that takes longer than its `abandon_s` is not abandoned while somebody streams it."""
    prompt = Prompt(tokens=300, rate=100)
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True, "abandon_s": 2}) as reply:
        last = [one async for one in sent(reply)][-1].event
    assert last["response"]["status"] == "completed"


async def test_a_detached_response_is_abandoned_in_its_time(http: httpx2.AsyncClient, stack: Stack) -> None:
    """Detached is not for ever: after `abandon_s` without anybody it is stopped, as on the socket."""
    prompt = Prompt(tokens=5000, rate=100)
    asked = {**prompt.body, "stream": True, "abandon_s": 2, "on_disconnect": "detach"}
    async with http.stream("POST", "/v1/responses", json=asked) as reply:
        response_id = reply.headers["x-andon-response-id"]
        await text_begun(sent(reply))
    assert (await stack.meter.ended(prompt.key)).client_closed
    stopped = (await http.post(f"/v1/responses/{response_id}/cancel")).json()
    assert stopped["stop"]["reason"] == "abandoned"
