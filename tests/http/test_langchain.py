"""LangChain's ChatOpenAI as a client, with the Responses API and with Chat Completions: it streams, and it stops."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(120)  # LangChain takes seconds to import where the machine is loaded


@pytest.fixture(params=[True, False], ids=["responses", "chat-completions"])
def use_responses_api(request: pytest.FixtureRequest) -> bool:
    """Choose the API that LangChain speaks."""
    chosen: bool = request.param
    return chosen


@pytest.fixture
async def model(stack: Stack, tls: ssl.SSLContext, use_responses_api: bool) -> AsyncIterator[ChatOpenAI]:
    """Lend a ChatOpenAI. Its HTTP client is given, since its own is kept beyond the event loop of a test."""
    async with DefaultAsyncHttpxClient(verify=tls) as http:
        yield ChatOpenAI(
            model="sim",
            base_url=f"{stack.gateways[0].http}/v1",
            api_key=cast("Any", "x"),
            http_async_client=http,
            use_responses_api=use_responses_api,
            include_response_headers=True,
            stream_usage=True,
            max_retries=0,
        )


def _stream(model: ChatOpenAI, prompt: Prompt) -> AsyncGenerator[AIMessageChunk, None]:
    chunks = model.astream([HumanMessage(prompt.body["input"])], extra_body={"metadata": prompt.body["metadata"]})
    return cast("AsyncGenerator[AIMessageChunk, None]", chunks)


def _long() -> Prompt:
    """Ask for what takes 20 s: an upstream that ends sooner was closed."""
    return Prompt(tokens=2000, rate=100)


async def _was_stopped(stack: Stack, sdk: AsyncOpenAI, prompt: Prompt, response_id: str) -> None:
    """Assert that the model server saw its connection closed, and that the response says why."""
    assert (await stack.meter.ended(prompt.key)).client_closed
    response = await sdk.responses.cancel(response_id)  # idempotent: the response as it has ended, or is ending
    assert response.status == "cancelled"
    assert response.model_extra is not None
    assert response.model_extra["stop"]["reason"] == "disconnected"


async def test_it_streams(model: ChatOpenAI) -> None:
    """Every word, the usage, and the model's name."""
    prompt = Prompt()
    chunks = [chunk async for chunk in _stream(model, prompt)]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == prompt.text()
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == prompt.tokens
    assert whole.response_metadata["model_name"] == prompt.model


async def test_it_waits_for_the_whole(model: ChatOpenAI) -> None:
    """`ainvoke`, without a stream."""
    prompt = Prompt()
    extra_body = {"metadata": prompt.body["metadata"]}
    answer = await model.ainvoke([HumanMessage(prompt.body["input"])], extra_body=extra_body)
    assert answer.text == prompt.text()


async def _read_some(chunks: AsyncGenerator[AIMessageChunk, None]) -> str:
    """Read three words; return the id of the response, which travels in a header."""
    headers: dict[str, str] = {}
    words = 0
    async for chunk in chunks:
        headers |= chunk.response_metadata.get("headers", {})
        words += bool(chunk.text)
        if words == 3:
            break
    return str(headers["x-andon-response-id"])


async def test_leaving_its_stream_is_the_stop(model: ChatOpenAI, stack: Stack, sdk: AsyncOpenAI) -> None:
    """A `break` out of `astream`, closed: the upstream is closed, the response cancelled as disconnected."""
    prompt = _long()
    async with aclosing(_stream(model, prompt)) as chunks:
        response_id = await _read_some(chunks)
    await _was_stopped(stack, sdk, prompt, response_id)


async def test_cancelling_its_task_is_the_stop(model: ChatOpenAI, stack: Stack, sdk: AsyncOpenAI) -> None:
    """A task that is cancelled while it waits for the next chunk."""
    prompt = _long()
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read() -> str:
        chunks = _stream(model, prompt)
        begun.set_result(await _read_some(chunks))
        async for _ in chunks:
            pass
        return "to its end"

    reading = asyncio.create_task(read())
    await asyncio.wait({reading, begun}, return_when=asyncio.FIRST_COMPLETED)
    response_id = begun.result()
    while not reading.done():  # its watch over gaps is `asyncio.wait_for`, which on CPython 3.11 may swallow a cancel
        reading.cancel()
        await asyncio.wait({reading}, timeout=0.5)
    assert reading.cancelled()
    await _was_stopped(stack, sdk, prompt, response_id)
