from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from andon.sim.text import seed_of, text, tokens, wide_tokens

from .door import Door, request

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
RESPONSE = TypeAdapter(Response)
VOICES = ["sim", "sim-refusal", "sim-reasoning", "sim-tools", "sim-multi", "sim-fat", "sim-unicode", "sim-burst"]
PLAIN = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 12,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


async def test_a_stream_is_the_real_apis_event_sequence(sim: Door) -> None:
    """The order of events is OpenAI's, numbered from 0 without a gap, `event:` naming each `data:`."""
    events = await sim.events("responses", "sim")
    assert [event["type"] for event in events] == PLAIN
    assert [event["sequence_number"] for event in events] == list(range(len(PLAIN)))
    raw = (await sim.post("responses", "sim", stream=True)).content
    names = [line.removeprefix(b"event: ").decode() for line in raw.split(b"\n") if line.startswith(b"event: ")]
    assert names == PLAIN


@pytest.mark.parametrize("model", [*VOICES, "sim-failed", "sim-error-event"])
@pytest.mark.parametrize("limit", [None, 1, 5, 11])
async def test_each_event_validates_against_the_sdks_types(sim: Door, model: str, limit: int | None) -> None:
    """No field that the SDK's types call required is missing, whatever is said and wherever it is cut."""
    tools = [{"type": "function", "name": "look", "parameters": {}, "strict": True}]
    for event in await sim.events("responses", model, max_output_tokens=limit, tools=tools):
        EVENT.validate_python(event)


async def test_a_bare_stream_lacks_what_third_party_servers_leave_out(sim: Door) -> None:
    """The stream is readable, and fails the SDK's types: a pass-through has to fill it in."""
    events = await sim.events("responses", "sim-bare")
    assert [event["type"] for event in events] == PLAIN
    assert "logprobs" not in events[4]
    assert "annotations" not in events[3]["part"]
    assert set(events[-1]["response"]["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    with pytest.raises(ValidationError):
        EVENT.validate_python(events[4])


async def test_the_text_is_the_seeds_for_the_prompt(sim: Door) -> None:
    """The deltas are the tokens, one word each; done events and the final object repeat their sum."""
    events = await sim.events("responses", "gpt-5", prompt="a prompt")
    seed = seed_of("a prompt")
    assert tuple(e["delta"] for e in events if e["type"] == "response.output_text.delta") == tokens(seed, 12)
    response = events[-1]["response"]
    assert response["model"] == "gpt-5"
    assert response["output"][0]["content"][0]["text"] == events[-4]["text"] == text(seed, 12)


async def test_usage_counts_words_in_and_tokens_out(sim: Door) -> None:
    """The settled usage has OpenAI's shape, and its sum is right."""
    response = (await sim.events("responses", "sim", prompt="one two three"))[-1]["response"]
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }


@pytest.mark.parametrize("model", VOICES)
@pytest.mark.parametrize("limit", [1, 2, 7, 12, 13])
async def test_a_length_limit_is_obeyed_exactly(sim: Door, model: str, limit: int) -> None:
    """A limit below the natural length ends in `incomplete`, billed to the token; at or above it changes nothing."""
    events = await sim.events("responses", model, max_output_tokens=limit, metadata={"sim_key": "K"})
    response, sent = events[-1]["response"], min(limit, 12)
    assert sum(event["type"].endswith(".delta") for event in events) == sent
    assert response["usage"]["output_tokens"] == sent == (await sim.record("K")).tokens_generated
    cut = limit < 12
    assert response["status"] == ("incomplete" if cut else "completed")
    assert response["incomplete_details"] == ({"reason": "max_output_tokens"} if cut else None)


async def test_reasoning_comes_before_the_message_and_is_billed(sim: Door) -> None:
    """A reasoning item with summary and text streams first; its tokens are told apart in the usage."""
    events = await sim.events("responses", "sim-reasoning")
    assert [event["item"]["type"] for event in events if event["type"].endswith("item.done")] == [
        "reasoning",
        "message",
    ]
    kinds = {event["type"] for event in events}
    assert {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"} <= kinds
    assert events[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 3


async def test_tools_are_two_parallel_calls_with_json_arguments(sim: Door) -> None:
    """The first two functions offered are called; the deltas of each make up its arguments."""
    tools: list[Any] = [
        {"type": "function", "name": name, "parameters": {}, "strict": True} for name in ("look", "leap")
    ]
    response = await sim.sdk.responses.create(**request("responses", "sim-tools", tools=tools))
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, call.arguments[:10]) for call in calls] == [("look", '{"note":" '), ("leap", '{"note":" ')]
    assert len({call.call_id for call in calls}) == 2


async def test_multi_is_two_messages_one_after_another(sim: Door) -> None:
    """The second item begins only after the first is done."""
    events = await sim.events("responses", "sim-multi")
    marks = [(e["type"].rpartition(".")[2], e["output_index"]) for e in events if ".output_item." in e["type"]]
    assert marks == [("added", 0), ("done", 0), ("added", 1), ("done", 1)]


async def test_unicode_is_cut_within_characters_and_still_whole(sim: Door) -> None:
    """TCP writes end in the middle of a character; put together they are the text."""
    expected = "".join(wide_tokens(seed_of("hello there"), 12))
    body = request("responses", "sim-unicode", stream=True, metadata={"sim_ttft": "0.02", "sim_rate": "200"})
    async with sim.http.stream("POST", "/responses", json=body) as reply:
        _, *chunks = [chunk async for chunk in reply.aiter_raw()]
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        chunks[0].decode()
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
        chunks[-1].decode()
    assert expected in b"".join(chunks).decode()
    assert (await sim.events("responses", "sim-unicode"))[-4]["text"] == expected


@pytest.mark.parametrize("model", VOICES)
async def test_unstreamed_it_is_what_the_streams_last_event_holds(sim: Door, model: str) -> None:
    """`stream: false` answers with the same Response, ids and times apart."""
    streamed = (await sim.events("responses", model))[-1]["response"]
    whole = (await sim.post("responses", model)).json()
    RESPONSE.validate_python(whole)
    assert _timeless(whole) == _timeless(streamed)


async def test_the_official_sdk_streams_and_accumulates(sim: Door) -> None:
    """`responses.stream` ends with a final response whose text is the seed's."""
    async with sim.sdk.responses.stream(model="sim", input="hello there") as stream:
        final = await stream.get_final_response()
    assert final.output_text == text(seed_of("hello there"), 12)
    assert final.status == "completed"


async def test_what_was_asked_is_repeated(sim: Door) -> None:
    """The Response echoes the request's fields, as the real one does."""
    asked = {"instructions": "Be brief.", "temperature": 0.5, "metadata": {"a": "b"}, "max_output_tokens": 3}
    response = (await sim.post("responses", "sim", **asked)).json()
    assert {name: response[name] for name in asked} == asked


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        gone = {"id", "call_id", "created_at", "completed_at"}
        return {name: _timeless(part) for name, part in value.items() if name not in gone}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
