from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from andon.sim.text import seed_of, text

from .door import Door, request

CHUNK = TypeAdapter(ChatCompletionChunk)
WHOLE = TypeAdapter(ChatCompletion)
VOICES = ["sim", "sim-refusal", "sim-reasoning", "sim-tools", "sim-multi", "sim-fat", "sim-unicode", "sim-burst"]


def _delta(chunk: dict[str, Any]) -> dict[str, Any]:
    delta: dict[str, Any] = chunk["choices"][0]["delta"]
    return delta


@pytest.mark.parametrize("model", [*VOICES, "sim-bare"])
@pytest.mark.parametrize("limit", [None, 1, 7])
async def test_each_chunk_validates_against_the_sdks_types(sim: Door, model: str, limit: int | None) -> None:
    """Every chunk is a ChatCompletionChunk, with and without usage."""
    for extra in ({}, {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}):
        for chunk in await sim.events("chat", model, max_tokens=limit, **extra):
            CHUNK.validate_python(chunk)


async def test_a_stream_is_role_then_content_then_finish_then_done(sim: Door) -> None:
    """The role comes first, the content is the seed's text, `stop` and `[DONE]` end it; no usage unasked."""
    chunks = await sim.events("chat", "sim")
    assert _delta(chunks[0])["role"] == "assistant"
    assert "".join(_delta(chunk).get("content") or "" for chunk in chunks) == text(seed_of("hello there"), 12)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 13 + ["stop"]
    assert all("usage" not in chunk for chunk in chunks)
    raw = (await sim.post("chat", "sim", stream=True)).content
    assert raw.endswith(b"data: [DONE]\n\n")


async def test_usage_comes_last_and_only_there(sim: Door) -> None:
    """With include_usage the last chunk has no choices and the usage; all others have it null."""
    *chunks, last = await sim.events("chat", "sim", stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in chunks] == [None] * 14
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (2, 12)


async def test_running_usage_is_told_with_every_chunk(sim: Door) -> None:
    """With continuous_usage_stats, as vLLM has it, each chunk counts the tokens so far."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await sim.events("chat", "sim", stream_options=options)
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [*range(13), 12, 12]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("model", VOICES)
@pytest.mark.parametrize("limit", [1, 7, 12])
async def test_a_length_limit_is_obeyed_exactly(sim: Door, field: str, model: str, limit: int) -> None:
    """A limit below the natural length ends with finish_reason `length`, billed to the token."""
    given = {field: limit, "metadata": {"sim_key": "K"}, "stream_options": {"include_usage": True}}
    *_, finish, usage = await sim.events("chat", model, **given)
    natural = "tool_calls" if model == "sim-tools" else "stop"
    assert finish["choices"][0]["finish_reason"] == ("length" if limit < 12 else natural)
    assert usage["usage"]["completion_tokens"] == limit == (await sim.record("K")).tokens_generated


async def test_reasoning_content_comes_before_the_content(sim: Door) -> None:
    """Reasoning deltas, then content deltas, never mixed."""
    deltas = [_delta(chunk) for chunk in await sim.events("chat", "sim-reasoning")][1:-1]
    assert ["reasoning_content" in delta for delta in deltas] == [True] * 3 + [False] * 9


async def test_tool_calls_are_two_with_indexes(sim: Door) -> None:
    """Each call opens with id and name; its argument deltas carry its index."""
    deltas = [_delta(chunk) for chunk in await sim.events("chat", "sim-tools")]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [(call["index"], call["function"]["name"]) for call in calls if "id" in call] == [
        (0, "get_weather"),
        (1, "get_time"),
    ]
    arguments = "".join(call["function"]["arguments"] for call in calls if call["index"] == 1)
    assert arguments.startswith('{"note":"')
    assert arguments.endswith('"}')


async def test_a_refusal_streams_as_refusal(sim: Door) -> None:
    """The text comes as refusal deltas; the content stays empty."""
    deltas = [_delta(chunk) for chunk in await sim.events("chat", "sim-refusal")]
    assert "".join(delta.get("refusal") or "" for delta in deltas) == text(seed_of("hello there"), 12)


@pytest.mark.parametrize("model", [*VOICES, "sim-bare"])
async def test_unstreamed_it_is_a_chat_completion(sim: Door, model: str) -> None:
    """`stream: false` answers in the SDK's type, with usage."""
    whole = WHOLE.validate_python((await sim.post("chat", model)).json())
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12


async def test_the_official_sdk_streams(sim: Door) -> None:
    """The SDK's own iteration yields the seed's text."""
    body = request("chat", "sim", stream=True)
    said = ""
    async with await sim.sdk.chat.completions.create(**body) as stream:
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
    assert said == text(seed_of("hello there"), 12)


async def test_one_conversation_has_one_text_on_both_apis(sim: Door) -> None:
    """Instructions and a system message of the same words are the same prompt."""
    response = await sim.sdk.responses.create(model="sim", instructions="Be kind.", input="hello there")
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello there"}]
    chat = (await sim.http.post("/chat/completions", json={"model": "sim", "messages": messages})).json()
    assert response.output_text == chat["choices"][0]["message"]["content"]
