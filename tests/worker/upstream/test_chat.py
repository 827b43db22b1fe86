from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.pieces import Cause, Delta, Event, Finish, Piece
from tests.worker.upstream.sdk import (
    assert_sdk_accepts,
    assert_sdk_accepts_output,
    assert_sdk_accepts_usage,
    wire_events,
)
from worker.upstream.chat import ChatTranslator
from worker.upstream.sse import SseEvent
from worker.upstream.translator import TranslatorContext

DONE = b"[DONE]"


def translator() -> ChatTranslator:
    made: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        made[prefix] = made.get(prefix, 0) + 1
        return f"{prefix}_{made[prefix]}"

    return ChatTranslator(TranslatorContext(new_id=new_id))


def feed(chat: ChatTranslator, *chunks: Any) -> list[Piece]:
    pieces: list[Piece] = []
    for chunk in chunks:
        data = chunk if isinstance(chunk, bytes) else msgspec.json.encode(chunk)
        pieces += chat.feed(SseEvent("message", data))
    return pieces


def translate(*chunks: Any) -> list[Piece]:
    return feed(translator(), *chunks)


def chunk(finish_reason: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "choices": [choice]}


def call(index: int | None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    place = {} if index is None else {"index": index}
    return {**place, "type": "function", **fields, "function": function}


def finish_of(pieces: list[Piece]) -> Finish:
    assert isinstance(pieces[-1], Finish)
    return pieces[-1]


def types(pieces: list[Piece]) -> list[str]:
    return [piece.type for piece in pieces if not isinstance(piece, Finish)]


def output_of(pieces: list[Piece]) -> list[dict[str, Any]]:
    output = finish_of(pieces).response["output"]
    assert isinstance(output, list)
    assert_sdk_accepts(pieces)
    assert_sdk_accepts_output(output)
    # The items said to be done are the items of the end.
    done = [piece.body["item"] for piece in pieces if isinstance(piece, Event) and piece.type.endswith("item.done")]
    assert done == output
    return output


def test_text_becomes_a_message_with_the_whole_sequence_of_events() -> None:
    """A client of the Responses API sees what it would see from OpenAI."""
    pieces = translate(
        chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop"), DONE
    )
    assert types(pieces) == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert pieces[2] == Delta("response.output_text.delta", "msg_1", 0, ("content_index", 0), "Hel")
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert output_of(pieces) == [
        {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    ]
    assert finish_of(pieces).status == "completed"
    assert finish_of(pieces).response["model"] == "m-2026"


def test_nothing_looks_done_before_the_finish() -> None:
    """The done events come in one list with the Finish: a stop in between can't leave half of them in the log."""
    chat = translator()
    before = feed(chat, chunk(content="Hi"), chunk("stop"))
    assert not [kind for kind in types(before) if kind.endswith(".done")]
    after = feed(chat, DONE)
    assert types(after)[-1] == "response.output_item.done"
    assert isinstance(after[-1], Finish)


def test_a_refusal_is_a_part_of_its_own() -> None:
    """Text and refusal have one message and two parts."""
    pieces = translate(chunk(content="Well"), chunk(refusal="I can"), chunk(refusal="not"), chunk("stop"), DONE)
    parts = output_of(pieces)[0]["content"]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]
    assert parts[1]["refusal"] == "I cannot"
    assert "response.refusal.done" in types(pieces)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_becomes_an_item_before_the_message(field: str) -> None:
    """Both names that local servers use; an item of reasoning text."""
    pieces = translate(chunk(**{field: "Hm"}), chunk(**{field: "m"}), chunk(content="Yes"), chunk("stop"), DONE)
    reasoning, message = output_of(pieces)
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hmm"}]
    assert reasoning["summary"] == []
    assert message["content"][0]["text"] == "Yes"
    assert types(pieces)[:4] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.delta",
    ]
    assert "response.reasoning_text.done" in types(pieces)


def test_parallel_tool_calls_keep_their_own_arguments() -> None:
    """Fragments of several calls may come in any order."""
    pieces = translate(
        chunk(content="Let me see"),
        chunk(tool_calls=[call(0, "", id="call_a", name="f")]),
        chunk(tool_calls=[call(1, '{"b"', id="call_b", name="g"), call(0, '{"a"')]),
        chunk(tool_calls=[call(1, ":2}"), call(0, ":1}")]),
        chunk("tool_calls"),
        DONE,
    )
    message, first, second = output_of(pieces)
    assert message["status"] == "completed"
    assert (first["call_id"], first["name"], first["arguments"]) == ("call_a", "f", '{"a":1}')
    assert (second["call_id"], second["name"], second["arguments"]) == ("call_b", "g", '{"b":2}')
    assert finish_of(pieces).status == "completed"
    deltas = [piece for piece in pieces if isinstance(piece, Delta) and piece.part is None]
    assert [(delta.output_index, delta.text) for delta in deltas] == [(2, '{"b"'), (1, '{"a"'), (2, ":2}"), (1, ":1}")]


@pytest.mark.parametrize("index", [0, None])
def test_calls_with_one_index_or_none_are_told_apart_by_id(index: int | None) -> None:
    """Some servers number no call, some number all of them 0."""
    pieces = translate(
        chunk(tool_calls=[call(index, "{}", id="call_a", name="f")]),
        chunk(tool_calls=[call(index, '{"x"', id="call_b", name="f")]),
        chunk(tool_calls=[call(index, ":1}")]),
        chunk("tool_calls"),
        DONE,
    )
    assert [(item["call_id"], item["arguments"]) for item in output_of(pieces)] == [
        ("call_a", "{}"),
        ("call_b", '{"x":1}'),
    ]


def test_a_call_opens_once_its_name_has_come() -> None:
    """Arguments that came before are not lost; a missing id is made up."""
    pieces = translate(
        chunk(tool_calls=[call(0, "{")]), chunk(tool_calls=[call(0, "}", name="f")]), chunk("stop"), DONE
    )
    assert types(pieces)[0] == "response.output_item.added"
    assert output_of(pieces)[0] | {"id": ""} == {
        "id": "",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "f",
        "arguments": "{}",
    }


def test_a_call_without_a_name_is_garbage() -> None:
    """Nobody could answer it."""
    failure = finish_of(translate(chunk(tool_calls=[call(0, "{}", id="call_a")]), chunk("tool_calls"), DONE)).failure
    assert failure is not None
    assert failure.cause is Cause.UPSTREAM_GARBAGE


@pytest.mark.parametrize(("said", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_early_end_is_incomplete(said: str, reason: str) -> None:
    """Only the item that was being written is incomplete."""
    pieces = translate(chunk(reasoning="Hm"), chunk(content="Hel"), chunk(said), DONE)
    finish = finish_of(pieces)
    assert (finish.status, finish.incomplete_reason, finish.failure) == ("incomplete", reason, None)
    assert [item["status"] for item in output_of(pieces)] == ["completed", "incomplete"]


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call", "eos"])
def test_a_natural_end_is_complete(reason: str) -> None:
    """Also by a word of the server's own."""
    assert finish_of(translate(chunk(content="Hi"), chunk(reason), DONE)).status == "completed"


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_an_end_that_the_server_calls_broken_failed(reason: str) -> None:
    """A broken generation never counts as complete."""
    finish = finish_of(translate(chunk(content="Hi"), chunk(reason), DONE))
    assert finish.failure is not None
    assert finish.failure.cause is Cause.UPSTREAM_ERROR


def test_log_probabilities_come_with_their_delta_and_in_the_part() -> None:
    """Asked for by `top_logprobs`; such deltas are not merged."""
    top = [{"token": "Hi", "bytes": [72, 105], "logprob": -0.1}]
    entry = {"token": "Hi", "bytes": None, "logprob": -0.1, "top_logprobs": top}
    pieces = translate(chunk(content="Hi", logprobs={"content": [entry]}), chunk("stop"), DONE)
    delta = pieces[2]
    assert isinstance(delta, Event)
    expected = [{"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": top}]
    assert delta.body["logprobs"] == expected
    assert output_of(pieces)[0]["content"][0]["logprobs"] == expected


def test_usage_is_mapped_with_its_details() -> None:
    """The usage chunk comes after the finish reason and before [DONE]."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    finish = finish_of(translate(chunk(content="Hi"), chunk("stop"), {"choices": [], "usage": usage}, DONE))
    assert finish.usage == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert_sdk_accepts_usage(finish.usage)


def test_no_usage_is_none() -> None:
    """What the upstream did not tell is not made up."""
    assert finish_of(translate(chunk(content="Hi"), chunk("stop"), DONE)).usage is None


def test_running_usage_is_known_mid_stream() -> None:
    """The continuous_usage_stats of vLLM make a stopped response's usage exact."""
    chat = translator()
    assert translator().usage_so_far is None
    for count in (1, 2):
        told = {"prompt_tokens": 3, "completion_tokens": count, "total_tokens": 3 + count}
        feed(chat, {**chunk(content="x"), "usage": told})
        assert chat.usage_so_far is not None
        assert chat.usage_so_far["output_tokens"] == count
    finish = finish_of(chat.eof())
    assert finish.status == "failed"
    assert finish.usage == chat.usage_so_far


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        ({"error": {"message": "Boom", "type": "x", "code": None}}, "server_error", Cause.UPSTREAM_ERROR),
        ({"error": {"message": "Boom", "code": 429}}, "rate_limit_exceeded", Cause.UPSTREAM_RATE_LIMITED),
        ({"error": "Boom"}, "server_error", Cause.UPSTREAM_ERROR),
        ({"object": "error", "message": "Boom", "code": 500}, "server_error", Cause.UPSTREAM_ERROR),
    ],
)
def test_an_error_within_the_stream_fails_the_response(error: Any, code: str, cause: Cause) -> None:
    """The shapes of OpenAI, OpenRouter and vLLM."""
    finish = finish_of(translate(chunk(content="Hi"), error))
    assert finish.failure is not None
    assert (finish.failure.code, finish.failure.cause) == (code, cause)
    assert "Boom" in finish.failure.message


@pytest.mark.parametrize(
    "garbage", [b"<html>", b"[]", b"{}", b'{"choices":3}', b'{"choices":[{"delta":{"content":1}}]}']
)
def test_garbage_fails_the_response(garbage: bytes) -> None:
    """What is no chunk is not passed over."""
    finish = finish_of(translate(chunk(content="Hi"), garbage))
    assert finish.failure is not None
    assert finish.failure.cause is Cause.UPSTREAM_GARBAGE


@pytest.mark.parametrize("ends", [True, False])
def test_an_end_without_a_finish_reason_was_cut(ends: bool) -> None:
    """Neither [DONE] nor the end of the body makes half an answer whole."""
    chat = translator()
    pieces = feed(chat, chunk(content="Hi"), *([DONE] if ends else []))
    failure = finish_of(pieces if ends else chat.eof()).failure
    assert failure is not None
    assert failure.cause is Cause.UPSTREAM_CUT


def test_a_finish_reason_is_enough_without_done() -> None:
    """Some servers just close."""
    chat = translator()
    feed(chat, chunk(content="Hi"), chunk("stop"))
    assert finish_of(chat.eof()).status == "completed"


def test_nothing_comes_after_the_finish() -> None:
    """At most one ending."""
    chat = translator()
    feed(chat, chunk("stop"), DONE)
    assert feed(chat, chunk(content="more"), DONE, b"junk") == []
    assert chat.eof() == []


_DELTAS = st.sampled_from(
    [
        {"content": "a"},
        {"content": ""},
        {"refusal": "r"},
        {"reasoning": "t"},
        {"tool_calls": [call(0, "{", id="call_a", name="f")]},
        {"tool_calls": [call(1, "[", id="call_b", name="g"), call(0, "}")]},
        {"tool_calls": [call(None, ",")]},
        {"role": "assistant"},
    ]
)


@given(st.lists(_DELTAS, max_size=12), st.sampled_from(["stop", "length"]))
def test_any_mixture_folds_to_the_output_it_ends_with(deltas: list[dict[str, Any]], reason: str) -> None:
    """The deltas of each part, joined, are its text at the end; every item is opened once, in order, and closed."""
    named = {"tool_calls": [call(0, " ", id="call_a", name="f")]}  # so that no fragment lacks its call
    pieces = translate(*(chunk(**delta) for delta in [named, *deltas]), chunk(reason), DONE)
    output = output_of(pieces)
    folded: dict[tuple[int, int | None], str] = {}
    opened = []
    for event in wire_events(pieces):
        if event["type"] == "response.output_item.added":
            opened.append(event["output_index"])
        elif event["type"].endswith(".delta"):
            key = (event["output_index"], event.get("content_index"))
            folded[key] = folded.get(key, "") + event["delta"]
    assert opened == list(range(len(output)))
    whole: dict[tuple[int, int | None], str] = {}
    for index, item in enumerate(output):
        if item["type"] == "function_call":
            whole[index, None] = item["arguments"]
        for position, part in enumerate(item.get("content", ())):
            whole[index, position] = part.get("text", part.get("refusal"))
    assert folded == whole
