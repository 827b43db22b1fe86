from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from andon.pieces import Cause
from worker.upstream.chat_request import build_request
from worker.upstream.errors import UnsupportedParameterError

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
TEXT_FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": None}


def mapped(**body: Any) -> dict[str, Any]:
    """Map a body and return what it adds to the fixed fields."""
    request = build_request({"model": "m", "input": "x", **body})
    assert request.pop("model") == "m"
    assert request.pop("stream") is True
    assert request.pop("messages")[-1] == {"role": "user", "content": "x"}
    if request["stream_options"] == {"include_usage": True}:
        del request["stream_options"]
    return request


def messages(*items: Any, **body: Any) -> list[dict[str, Any]]:
    result = build_request({"input": list(items), **body})["messages"]
    assert isinstance(result, list)
    return result


FIELDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.9, {"top_p": 0.9}),
    "metadata": ({"a": "b"}, {"metadata": {"a": "b"}}),
    "store": (False, {"store": False}),
    "user": ("u", {"user": "u"}),
    "service_tier": ("flex", {"service_tier": "flex"}),
    "safety_identifier": ("s", {"safety_identifier": "s"}),
    "prompt_cache_key": ("k", {"prompt_cache_key": "k"}),
    "prompt_cache_options": ({"mode": "explicit"}, {"prompt_cache_options": {"mode": "explicit"}}),
    "prompt_cache_retention": ("24h", {"prompt_cache_retention": "24h"}),
    "max_output_tokens": (7, {"max_completion_tokens": 7}),
    "top_logprobs": (2, {"logprobs": True, "top_logprobs": 2}),
    "include": (["message.output_text.logprobs"], {"logprobs": True}),
    "text": (
        {"format": TEXT_FORMAT, "verbosity": "low"},
        {
            "verbosity": "low",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
        },
    ),
    "reasoning": ({"effort": "low", "summary": None}, {"reasoning_effort": "low"}),
    "stream_options": (
        {"include_obfuscation": False},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
    ),
    "truncation": ("disabled", {}),
    "background": (True, {}),
    "previous_response_id": ("resp_1", {}),
    "tools": (
        [FUNCTION],
        {"tools": [{"type": "function", "function": {name: FUNCTION[name] for name in FUNCTION if name != "type"}}]},
    ),
    "tool_choice": ("auto", {}),
    "parallel_tool_calls": (False, {}),
}
REFUSED: dict[str, Any] = {
    "access_programs": {"cyber": "standard"},
    "background_options": {"completion_window": "soonest"},
    "context_management": [{"type": "compaction"}],
    "conversation": "conv_1",
    "image": {"context_compression": "auto"},
    "max_tool_calls": 3,
    "moderation": {"model": "omni-moderation-latest"},
    "prompt": {"id": "pmpt_1"},
}


def test_running_usage_is_asked_for_only_where_it_is_set() -> None:
    """An extension of vLLM's: a server that does not know it may refuse the request."""
    body = {"model": "m", "input": "x"}
    assert build_request(body)["stream_options"] == {"include_usage": True}
    asked = build_request(body, running_usage=True)["stream_options"]
    assert asked == {"include_usage": True, "continuous_usage_stats": True}


def test_every_field_of_the_responses_create_body_is_mapped_or_refused() -> None:
    """A field that the SDK's next version brings is seen here, before a client misses it."""
    ours = FIELDS.keys() | REFUSED.keys() | {"model", "input", "instructions"}
    assert ResponseCreateParamsBase.__annotations__.keys() == ours


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_maps(name: str) -> None:
    """Each field that a chat has a word for says the same there."""
    value, expected = FIELDS[name]
    assert mapped(**{name: value}) == expected


@pytest.mark.parametrize("name", [*REFUSED, "seed"])
def test_a_field_without_a_word_for_it_is_refused_by_name(name: str) -> None:
    """Nothing is dropped in silence."""
    with pytest.raises(UnsupportedParameterError, match=f"`{name}`") as caught:
        mapped(**{name: REFUSED.get(name, 1)})
    failure = caught.value.failure
    assert (failure.code, failure.cause, failure.param) == ("invalid_prompt", Cause.UNSUPPORTED_PARAMETER, name)
    assert not caught.value.retryable


@pytest.mark.parametrize("name", [*REFUSED, *FIELDS, "instructions"])
def test_a_null_field_is_absent(name: str) -> None:
    """The SDK's own way to say nothing."""
    assert mapped(**{name: None}) == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": {}}, "tools"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools[0].type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"include": ["reasoning.encrypted_content"]}, "include[0]"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": "x"}, "text"),
        ({"text": {"new": 1}}, "text.new"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"truncation": "auto"}, "truncation"),
        ({"instructions": ["x"]}, "instructions"),
        ({"input": 3}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "original"}]}]},
            "input[0].content[0].detail",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content[0].file_url",
        ),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "x"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "n", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": 3}]}, "input[0].output"),
        (
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": "u"}],
                    }
                ]
            },
            "input[0].output[0].type",
        ),
    ],
)
def test_a_value_without_a_word_for_it_is_refused_by_its_path(body: dict[str, Any], param: str) -> None:
    """The error names the very place."""
    with pytest.raises(UnsupportedParameterError) as caught:
        build_request({"model": "m", "input": "x", **body})
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.failure.message


def test_the_stream_and_its_usage_are_always_asked_for() -> None:
    """Without the usage chunk no settlement could be exact."""
    request = build_request({"model": "m", "input": "x", "stream": False})
    assert request["stream"] is True
    assert request["stream_options"] == {"include_usage": True}


def test_the_name_of_the_limit_can_be_the_old_one() -> None:
    """For a server that knows only `max_tokens`."""
    request = build_request({"model": "m", "input": "x", "max_output_tokens": 7}, limit_field="max_tokens")
    assert request["max_tokens"] == 7
    assert "max_completion_tokens" not in request


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_choice_of_tools_and_their_parallel_use_map_with_tools(choice: str) -> None:
    """OpenAI refuses both fields without tools."""
    request = mapped(tools=[FUNCTION], tool_choice=choice, parallel_tool_calls=False)
    assert request["tool_choice"] == choice
    assert request["parallel_tool_calls"] is False


def test_a_choice_of_one_function_or_of_some_maps() -> None:
    """The nested shape of chat."""
    named = {"type": "function", "function": {"name": "f"}}
    assert mapped(tools=[FUNCTION], tool_choice={"type": "function", "name": "f"})["tool_choice"] == named
    some = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    assert mapped(tools=[FUNCTION], tool_choice=some)["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [named]},
    }


@pytest.mark.parametrize(
    ("text_format", "expected"),
    [({"type": "text"}, {}), ({"type": "json_object"}, {"response_format": {"type": "json_object"}})],
)
def test_the_other_formats_map(text_format: dict[str, Any], expected: dict[str, Any]) -> None:
    """Text is the default; the older JSON mode has the same name."""
    assert mapped(text={"format": text_format}) == expected


def test_instructions_come_first_and_roles_are_kept() -> None:
    """A developer stays a developer."""
    assert messages(
        {"role": "developer", "content": "d"}, {"type": "message", "role": "user", "content": "u"}, instructions="i"
    ) == [
        {"role": "system", "content": "i"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "u"},
    ]


def test_content_parts_map() -> None:
    """Text, images by URL, files by data."""
    parts = [
        {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf", "file_id": None},
    ]
    assert messages({"role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
    ]


def test_a_single_text_part_becomes_a_string() -> None:
    """Many chat templates know nothing else."""
    assert messages({"role": "user", "content": [{"type": "input_text", "text": "t"}]}) == [
        {"role": "user", "content": "t"}
    ]


def test_a_turn_with_a_tool_maps_whole() -> None:
    """An output that is fed back: reasoning dropped, calls joined to the answer before them, results after."""
    said = [{"type": "output_text", "text": "Let me ", "annotations": []}, {"type": "output_text", "text": "see"}]
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"} for n in (1, 2)]
    outputs = [
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
    ]
    chat = messages(
        {"role": "user", "content": "u"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": said},
        *calls,
        *outputs,
    )
    called = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
    assert chat == [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "Let me see", "tool_calls": called},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
    ]


def test_a_call_without_an_answer_before_it_makes_its_own_message() -> None:
    """An assistant message with no content."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    (message,) = messages(call)
    assert (message["role"], message["content"], len(message["tool_calls"])) == ("assistant", None, 1)


def test_a_refusal_maps() -> None:
    """Into the field that chat has for it."""
    refusal = {"type": "refusal", "refusal": "No"}
    assert messages({"role": "assistant", "content": [refusal]}) == [
        {"role": "assistant", "content": None, "refusal": "No"}
    ]
