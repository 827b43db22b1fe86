"""`POST /v1/chat/completions`: the official SDK's chat client runs on the same jobs, and stops them in the same way."""

from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletionChunk

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


def _asked(prompt: Prompt) -> dict[str, Any]:
    body = prompt.body
    return {
        "model": body["model"],
        "messages": [{"role": "user", "content": body["input"]}],
        "metadata": body["metadata"],
    }


async def test_a_plain_completion_waits_for_the_whole_answer(sdk: AsyncOpenAI) -> None:
    """Content, finish reason and exact usage; its id is the response's, so everything else works with it."""
    prompt = Prompt()
    completion = await sdk.chat.completions.create(**_asked(prompt))
    (choice,) = completion.choices
    assert choice.message.content == prompt.text()
    assert choice.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == prompt.tokens
    assert (await sdk.responses.retrieve(completion.id)).output_text == prompt.text()


async def test_a_stream_is_chunks_that_the_sdks_types_know(sdk: AsyncOpenAI) -> None:
    """The role first, then the text, one finish, then the usage; each chunk validates strictly."""
    prompt = Prompt()
    stream = await sdk.chat.completions.create(**_asked(prompt), stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(exclude_unset=True), strict=True)
    assert len({chunk.id for chunk in chunks}) == 1
    *said, ending, usage = chunks
    assert said[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == prompt.text()
    assert [chunk.choices[0].finish_reason for chunk in said] == [None] * len(said)
    assert ending.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == prompt.tokens


async def test_tool_calls_come_streamed_and_whole(sdk: AsyncOpenAI) -> None:
    """Two calls side by side: the SDK's own helper joins the streamed ones to what a plain completion holds."""
    prompt = Prompt(model="sim-tools")
    whole = await sdk.chat.completions.create(**_asked(prompt))
    async with sdk.chat.completions.stream(**_asked(prompt)) as stream:
        streamed = await stream.get_final_completion()
    for completion in (whole, streamed):
        assert completion.choices[0].finish_reason == "tool_calls"
    functions = [
        [(call.function.name, call.function.arguments) for call in completion.choices[0].message.tool_calls or ()]
        for completion in (whole, streamed)
    ]
    assert functions[0] == functions[1]
    assert len(functions[0]) == 2


async def test_closing_the_stream_is_the_stop(sdk: AsyncOpenAI, stack: Stack) -> None:
    """A `break` out of a chat's stream, closed, closes the upstream."""
    prompt = Prompt(tokens=2000, rate=100)
    async with await sdk.chat.completions.create(**_asked(prompt), stream=True) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_stop_from_elsewhere_ends_the_stream(sdk: AsyncOpenAI, other_sdk: AsyncOpenAI) -> None:
    """The chunk's id is what is cancelled; the stream finishes, and says that it was stopped."""
    prompt = Prompt(tokens=2000, rate=100)
    stopped = False
    async for chunk in await sdk.chat.completions.create(**_asked(prompt), stream=True):
        if chunk.choices[0].delta.content and not stopped:
            stopped = True
            assert (await other_sdk.responses.cancel(chunk.id)).status == "cancelled"
    assert chunk.choices[0].finish_reason == "stop"
    assert chunk.model_extra is not None
    assert chunk.model_extra["stop"]["upstream_closed_at"] is not None


async def test_a_failure_of_the_model_is_an_error(sdk: AsyncOpenAI) -> None:
    """Not streamed: with its status; streamed: the SDK raises in the middle."""
    with pytest.raises(BadRequestError) as refused:
        await sdk.chat.completions.create(**_asked(Prompt(model="sim-400")))
    assert refused.value.type == "upstream_rejected"
    stream = await sdk.chat.completions.create(**_asked(Prompt(model="sim-eof", after=3)), stream=True)
    with pytest.raises(APIError) as cut:
        async for _ in stream:
            pass
    assert cut.value.type == "upstream_cut"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["."]}, "stop"),
        ({"seed": 1}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
    ],
)
async def test_what_cannot_be_mapped_is_refused_by_name(sdk: AsyncOpenAI, members: dict[str, Any], param: str) -> None:
    """Nothing is dropped in silence."""
    with pytest.raises(BadRequestError) as refused:
        await sdk.chat.completions.create(**(_asked(Prompt()) | members))
    assert refused.value.param == param


async def test_a_chat_model_server_gets_the_chat_that_was_asked(chat_stack: Stack) -> None:
    """Messages with calls and their results, tools and format, there and back: one chat in, the same chat out."""
    prompt = Prompt()
    asked = _asked(prompt)
    asked["messages"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is the time?"}]},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "time", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        {"role": "user", "content": "Thanks."},
    ]
    asked |= {
        "temperature": 0.5,
        "max_tokens": 20,
        "tools": [{"type": "function", "function": {"name": "time"}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    }
    async with AsyncOpenAI(base_url=f"{chat_stack.gateways[0].http}/v1", api_key="x", max_retries=0) as sdk:
        completion = await sdk.chat.completions.create(**asked)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 20
    (record,) = (await chat_stack.meter.read(prompt.key)).requests
    for said in ("Be brief.", "What is the time?", "noon", "Thanks."):
        assert said in record.prompt
