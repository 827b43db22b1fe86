import asyncio
from typing import Any

import pytest
from openai import BadRequestError

from andon.sim.faults import MODELS, behaviour
from andon.sim.text import seed_of, text

from .door import PATHS, Door, request

APIS = ["responses", "chat"]


async def test_models_lists_every_behaviour(sim: Door) -> None:
    """The SDK reads the list; each entry says what its model does."""
    listed = [model async for model in sim.sdk.models.list()]
    assert {model.id for model in listed} == set(MODELS)
    assert all(model.to_dict()["description"] for model in listed)


def test_slow_is_two_tokens_a_second() -> None:
    """The name sets the rate (a test that waited for it would be slow as well)."""
    assert (slow := behaviour("sim-slow")) is not None
    assert slow.rate == 2


async def test_metadata_sets_length_pace_and_seed(sim: Door) -> None:
    """The request's own numbers win over the server's."""
    meta = {"sim_tokens": "5", "sim_rate": "100", "sim_ttft": "0.05", "sim_seed": "9", "sim_key": "K"}
    response = await sim.sdk.responses.create(model="sim", input="hello there", metadata=meta)
    assert response.output_text == text(seed_of("hello there", 9), 5)
    record = await sim.record("K")
    assert record.first_token_at is not None
    assert record.ended_at is not None
    assert record.ended_at - record.received_at >= 0.05 + 4 / 100 - 0.005


@pytest.mark.parametrize("name", ["sim_tokens", "sim_rate", "sim_ttft", "sim_seed", "sim_after"])
@pytest.mark.parametrize("value", ["-1", "many", "nan", "inf", "1000001"])
async def test_a_bad_number_in_metadata_is_refused_by_name(sim: Door, name: str, value: str) -> None:
    """A typing error does not become a default."""
    with pytest.raises(BadRequestError) as raised:
        await sim.sdk.responses.create(model="sim", input="x", metadata={name: value})
    assert raised.value.param == f"metadata.{name}"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": ""}, "model"),
        ({"model": "sim"}, "input"),
        ({"model": "sim", "input": 3, "messages": "x"}, "input"),
        ({"model": "sim", "input": "x", "messages": [], "stream_options": [1]}, "stream_options"),
        ({"model": "sim", "input": "x", "messages": [], "max_output_tokens": 0, "max_tokens": 0}, "max_output_tokens"),
        (
            {"model": "sim", "input": "x", "messages": [], "max_output_tokens": "5", "max_tokens": True},
            "max_output_tokens",
        ),
        ({"model": "sim", "input": "x", "messages": [], "previous_response_id": "resp_1"}, "previous_response_id"),
    ],
)
async def test_a_request_that_cannot_be_answered_is_refused_by_name(
    sim: Door, api: str, body: dict[str, Any], param: str
) -> None:
    """HTTP 400 in OpenAI's shape names the parameter, in the API's own word for it."""
    reply = await sim.http.post(PATHS[api], json=body)
    chat_words = {"input": "messages", "max_output_tokens": "max_tokens"}
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == (chat_words.get(param, param) if api == "chat" else param)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(sim: Door, raw: bytes) -> None:
    """HTTP 400 `invalid_json`."""
    reply = await sim.http.post("/responses", content=raw)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_json")


async def test_a_large_body_is_read_whole(sim: Door) -> None:
    """A prompt beyond the server's read buffer counts to the last word."""
    response = await sim.sdk.responses.create(model="sim", input="word " * 200_000)
    assert response.usage is not None
    assert response.usage.input_tokens == 200_000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/responses", 405), ("PUT", "/meter", 405), ("GET", "/nowhere", 404), ("POST", "/models", 405)],
)
async def test_a_wrong_path_or_method_is_told_as_such(sim: Door, method: str, path: str, status: int) -> None:
    """404 and 405 come in OpenAI's shape too."""
    reply = await sim.http.request(method, path)
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_an_input_of_items_is_one_prompt_in_order(sim: Door) -> None:
    """Instructions, messages, calls and their outputs all count, each in its place."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "two"},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ]
    await sim.http.post(PATHS["responses"], json={"model": "sim", "instructions": "zero", "input": items})
    (record,) = (await sim.meter()).requests
    assert record.prompt == "zero\none\ntwo\nthree"


async def test_hundreds_of_streams_run_side_by_side(sim: Door) -> None:
    """Two hundred streams of a hundred tokens each all finish, and the meter's sum is exact."""
    meta = {"sim_tokens": "100"}
    body = request("chat", "sim", stream=True, metadata=meta)
    replies = await asyncio.gather(*(sim.http.post(PATHS["chat"], json=body) for _ in range(200)))
    assert all(reply.content.endswith(b"data: [DONE]\n\n") for reply in replies)
    totals = (await sim.meter()).totals
    assert totals == {"requests": 200, "tokens_generated": 20_000, "finished": 200, "client_closed": 0}
