from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.responses import ResponseError

from andon.pieces import Cause, Delta, Event, Finish, Piece
from tests.worker.upstream.sdk import assert_sdk_accepts, assert_sdk_accepts_output, assert_sdk_accepts_usage
from worker.upstream.failures import RESPONSE_ERROR_CODES
from worker.upstream.responses import ResponsesTranslator, build_request
from worker.upstream.sse import SseEvent

MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
ADDED = {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": MESSAGE}
PART_ADDED = {
    "type": "response.content_part.added",
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "part": {"type": "output_text", "text": ""},
}


def feed(translator: ResponsesTranslator, *events: Any) -> list[Piece]:
    pieces: list[Piece] = []
    for event in events:
        data = event if isinstance(event, bytes) else msgspec.json.encode(event)
        name = event.get("type", "message") if isinstance(event, dict) else "message"
        pieces += translator.feed(SseEvent(name, data))
    return pieces


def translate(*events: Any) -> list[Piece]:
    return feed(ResponsesTranslator(), *events)


def finish_of(pieces: list[Piece]) -> Finish:
    assert isinstance(pieces[-1], Finish)
    return pieces[-1]


def bodies(pieces: list[Piece]) -> list[dict[str, Any]]:
    return [piece.body for piece in pieces if isinstance(piece, Event)]


def text_delta(**fields: Any) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hi",
        **fields,
    }


def test_the_codes_are_those_of_the_sdk() -> None:
    """A code that the SDK's list gains or loses is seen here."""
    assert set(get_args(ResponseError.model_fields["code"].annotation)) == RESPONSE_ERROR_CODES


@pytest.mark.parametrize("kind", ["response.created", "response.in_progress", "response.queued"])
def test_the_upstreams_own_opening_is_dropped(kind: str) -> None:
    """Ours were logged by the submit and the claim."""
    assert translate({"type": kind, "response": {"id": "resp_theirs", "output": []}}) == []


def test_a_text_delta_can_be_merged_and_loses_number_and_padding() -> None:
    """The scribe gets the text and its place, nothing else."""
    pieces = translate(ADDED, text_delta(logprobs=[], sequence_number=9, obfuscation="xyz", stream_id="s"))
    assert pieces[1:] == [Delta("response.output_text.delta", "msg_1", 0, ("content_index", 0), "Hi")]


def test_a_delta_with_log_probabilities_is_not_merged() -> None:
    """Each token keeps its own."""
    pieces = translate(ADDED, text_delta(logprobs=[{"token": "Hi", "logprob": -0.1}], obfuscation="x", response_id="r"))
    assert isinstance(pieces[1], Event)
    assert pieces[1].body["logprobs"] == [{"token": "Hi", "logprob": -0.1}]
    assert "obfuscation" not in pieces[1].body
    assert_sdk_accepts(pieces)


@pytest.mark.parametrize(
    ("kind", "index"),
    [
        ("response.refusal.delta", "content_index"),
        ("response.reasoning_text.delta", "content_index"),
        ("response.reasoning_summary_text.delta", "summary_index"),
        ("response.function_call_arguments.delta", None),
        ("response.custom_tool_call_input.delta", None),
        ("response.mcp_call_arguments.delta", None),
        ("response.code_interpreter_call_code.delta", None),
    ],
)
def test_every_delta_of_text_keeps_its_part(kind: str, index: str | None) -> None:
    """Content parts, summary parts, and items without parts."""
    event: dict[str, Any] = {"type": kind, "item_id": "msg_1", "output_index": 0, "delta": "a"}
    pieces = translate(ADDED, {**event, index: 3} if index else event)
    delta = pieces[1]
    assert isinstance(delta, Delta)
    assert delta.part == ((index, 3) if index else None)
    assert_sdk_accepts(pieces)


def test_an_unknown_event_passes_through() -> None:
    """A newer upstream's events reach a newer client."""
    event = {"type": "response.brand_new", "sequence_number": 4, "item_id": 7, "delta": {"x": 1}, "obfuscation": "p"}
    assert translate(event) == [Event("response.brand_new", {"item_id": 7, "delta": {"x": 1}})]


def test_an_event_without_a_type_takes_the_name_of_its_line() -> None:
    """Some servers name the event outside the JSON only."""
    pieces = ResponsesTranslator().feed(SseEvent("response.brand_new", b'{"a":1}'))
    assert pieces == [Event("response.brand_new", {"a": 1})]


def test_what_the_sdk_requires_is_filled_in() -> None:
    """Lists, texts and statuses that model servers leave out are there, in items, parts and the final output."""
    part = {"type": "output_text", "text": "Hi"}
    bare_message = {"type": "message", "id": "msg_1", "content": [part]}
    call = {"type": "function_call", "call_id": "call_1", "name": "f"}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    pieces = translate(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "msg_1"}},
        {"type": "response.content_part.added", **place, "part": {"type": "output_text"}},
        text_delta(),
        {"type": "response.output_text.done", **place, "text": "Hi"},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": bare_message},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        {"type": "response.function_call_arguments.delta", "item_id": "call_1", "delta": "{}"},
        {"type": "response.function_call_arguments.done", "item_id": "call_1", "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 1, "item": {**call, "arguments": "{}"}},
        {"type": "response.output_item.added", "output_index": 2, "item": {"type": "reasoning", "id": "rs_1"}},
        {
            "type": "response.completed",
            "response": {
                "id": "resp_theirs",
                "model": "m",
                "tools": None,
                "output": [bare_message, call],
                "usage": {"input_tokens": 3, "output_tokens": 2.0},
            },
        },
    )
    assert_sdk_accepts(pieces)
    finish = finish_of(pieces)
    assert finish.status == "completed"
    assert finish.response.keys() == {"model", "output"}
    assert_sdk_accepts_output(finish.response["output"])
    assert finish.response["output"][0]["content"][0] == {**part, "annotations": [], "logprobs": []}
    assert_sdk_accepts_usage(finish.usage)
    assert finish.usage is not None
    assert finish.usage["total_tokens"] == 5


def test_places_that_are_left_out_are_derived() -> None:
    """A server without indexes (llama.cpp) gives the same events as one with them."""
    pieces = translate(
        {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_1", "summary": []}},
        {"type": "response.output_item.added", "item": MESSAGE},
        {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "output_text"}},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "a"},
        {"type": "response.output_text.done", "item_id": "msg_1", "text": "a"},
        {"type": "response.content_part.added", "item_id": "msg_1", "part": {"type": "refusal"}},
        {"type": "response.refusal.delta", "delta": "no"},
        {"type": "response.output_item.done", "item": {**MESSAGE, "status": "completed"}},
    )
    assert [piece.part for piece in pieces if isinstance(piece, Delta)] == [("content_index", 0), ("content_index", 1)]
    assert [body["output_index"] for body in bodies(pieces)] == [0, 1, 1, 1, 1, 1]
    assert_sdk_accepts(pieces)


def test_the_final_response_keeps_only_what_is_the_upstreams_to_say() -> None:
    """Ids, times and states are ours."""
    response = {
        "id": "resp_theirs",
        "object": "response",
        "created_at": 1,
        "completed_at": 2,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "background": False,
        "usage": None,
        "model": "m-2026",
        "service_tier": "default",
        "temperature": 1.0,
    }
    finish = finish_of(translate({"type": "response.completed", "response": response}))
    assert finish == Finish("completed", {"model": "m-2026", "service_tier": "default", "temperature": 1.0}, None)


@pytest.mark.parametrize(
    ("details", "reason"),
    [({"reason": "content_filter"}, "content_filter"), (None, "max_output_tokens"), ({}, "max_output_tokens")],
)
def test_an_incomplete_response_has_a_reason(details: Any, reason: str) -> None:
    """The reason is one of the SDK's, also when the upstream gives none."""
    finish = finish_of(translate({"type": "response.incomplete", "response": {"incomplete_details": details}}))
    assert (finish.status, finish.incomplete_reason, finish.failure) == ("incomplete", reason, None)


def test_a_completed_event_that_holds_an_incomplete_response_is_incomplete() -> None:
    """The last event of vLLM has one name for both."""
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert finish_of(translate({"type": "response.completed", "response": response})).status == "incomplete"


@pytest.mark.parametrize(
    ("code", "kept", "cause"),
    [
        ("rate_limit_exceeded", "rate_limit_exceeded", Cause.UPSTREAM_RATE_LIMITED),
        ("image_too_large", "image_too_large", Cause.UPSTREAM_ERROR),
        ("kaboom", "server_error", Cause.UPSTREAM_ERROR),
        (None, "server_error", Cause.UPSTREAM_ERROR),
    ],
)
def test_a_failed_response_keeps_a_code_the_sdk_knows(code: str | None, kept: str, cause: Cause) -> None:
    """Any other code would break a client's closed list."""
    error = {"code": code, "message": "It broke with sk-abcdef123456"}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    finish = finish_of(translate({"type": "response.failed", "response": {"error": error, "usage": usage}}))
    assert finish.status == "failed"
    assert finish.failure is not None
    assert (finish.failure.code, finish.failure.cause) == (kept, cause)
    assert "It broke with [redacted]" in finish.failure.message
    assert_sdk_accepts_usage(finish.usage)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "Too busy", "param": None},
        {"type": "error", "error": {"code": 500, "message": "Too busy"}},
        {"error": {"message": "Too busy", "type": "server_error"}},
        {"error": "Too busy"},
    ],
)
def test_an_error_event_of_any_shape_fails_the_response(event: dict[str, Any]) -> None:
    """Flat as OpenAI's, nested as others'."""
    finish = finish_of(translate(event))
    assert finish.failure is not None
    assert (finish.failure.code, finish.failure.cause) == ("server_error", Cause.UPSTREAM_ERROR)
    assert "Too busy" in finish.failure.message


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>",
        b"[1]",
        b"{}",
        b'"x"',
        b"\xff",
        b'{"type":"response.completed"}',
        b'{"type":"response.output_item.added","item":3}',
        b'{"type":"response.output_item.added","output_index":0}',
        b'{"type":"response.output_text.delta","item_id":"msg_1","delta":"before its item"}',
        b'{"type":"response.output_text.done","item_id":"msg_1","text":"before its item"}',
        b'{"type":"response.output_item.done","item":{"type":"message","id":"never"}}',
    ],
)
def test_garbage_fails_the_response(garbage: bytes) -> None:
    """What a client would break on does not reach it."""
    finish = finish_of(translate(garbage))
    assert finish.failure is not None
    assert finish.failure.cause is Cause.UPSTREAM_GARBAGE


@pytest.mark.parametrize("delta", [None, 3, {"a": 1}])
def test_a_known_delta_that_is_no_text_is_garbage(delta: Any) -> None:
    """A delta's text is what everything downstream joins."""
    finish = finish_of(translate(ADDED, text_delta(delta=delta)))
    assert finish.failure is not None
    assert finish.failure.cause is Cause.UPSTREAM_GARBAGE


def test_a_stream_without_its_finish_was_cut() -> None:
    """Never a completion; also after a stray [DONE]."""
    for finish in (finish_of(ResponsesTranslator().eof()), finish_of(translate(b"[DONE]"))):
        assert finish.failure is not None
        assert finish.failure.cause is Cause.UPSTREAM_CUT


def test_nothing_comes_after_the_finish() -> None:
    """At most one ending, whatever the upstream goes on to send."""
    translator = ResponsesTranslator()
    feed(translator, {"type": "response.completed", "response": {}})
    assert feed(translator, ADDED, b"garbage", {"type": "response.failed", "response": {}}, b"[DONE]") == []
    assert translator.eof() == []
    assert translator.usage_so_far is None


_VALUES: list[Any] = [None, True, -1, 0, 1, 2**70, 1.5, "", "msg_1", "x", [], [1], [{}], {}, {"id": 3}, {"type": "x"}]
_VALUES += [{"type": "message", "content": [3, {"type": []}]}, {"error": 4, "usage": 5, "output": [{}, 1]}]
_VALUES += [{"type": "output_text", "text": None}, {"type": {}, "id": [], "call_id": {}}, {"type": "message", "id": 5}]
_VALUES += [{"status": []}, {"status": "incomplete", "incomplete_details": 1}, {"usage": {"input_tokens": 1e400}}]
_KINDS = st.sampled_from(
    [
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.function_call_arguments.delta",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
        "x",
    ]
)
_FIELDS = st.sampled_from(
    ["item", "item_id", "output_index", "content_index", "part", "delta", "response", "logprobs", "error", "message"]
)


@example([("response.completed", {"response": {"status": [], "output": [{"type": [], "content": [{"type": {}}]}]}})])
@example([("response.output_item.added", {"item": {"type": "message", "id": [], "content": [{"type": []}]}})])
@given(st.lists(st.tuples(_KINDS, st.dictionaries(_FIELDS, st.sampled_from(_VALUES), max_size=5)), max_size=6))
def test_no_event_makes_the_translator_raise(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever JSON comes under known names, the outcome is pieces, with one Finish at most."""
    translator = ResponsesTranslator()
    pieces = feed(translator, ADDED, *({**body, "type": kind} for kind, body in events)) + translator.eof()
    assert [isinstance(piece, Finish) for piece in pieces].count(True) == 1
    finish_of(pieces)


def test_the_request_passes_as_it_is_but_for_what_was_ours() -> None:
    """Fields that this version does not know reach the upstream."""
    body = {
        "model": "m",
        "input": [{"role": "user", "content": "x"}],
        "background": True,
        "previous_response_id": "resp_1",
        "generate": True,
        "some_new_field": {"a": None},
        "stream": False,
    }
    assert build_request(body) == {
        "model": "m",
        "input": [{"role": "user", "content": "x"}],
        "some_new_field": {"a": None},
        "stream": True,
    }
    assert body["background"] is True
