"""Chat request: a Chat Completions create body as a Responses create body.

Owns the mapping of every field but the messages (`messages`). Each is mapped, or refused by name, never dropped in
silence, but for values that only say what is so anyway. Does no I/O.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from andon.create_body import CreateBody
from andon.errors import RequestError
from gateway.http.chat.messages import input_items

# Fields of the same name and meaning on both sides, and those of the door.
_SAME: Final = frozenset(
    {
        "model", "temperature", "top_p", "metadata", "store", "user", "service_tier", "safety_identifier",
        "prompt_cache_key", "parallel_tool_calls", "stream", "on_disconnect", "abandon_s",
        "deadline_s",
    }
)  # fmt: skip
# What these members of a create came from.
_WORDS: Final = {"input": ("messages",), "max_output_tokens": ("max_completion_tokens", "max_tokens")}
# Fields that the Responses API has no word for, with the values that ask for nothing.
_IDLE: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "stop": ([], ""),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
}


class ChatRequest(msgspec.Struct, frozen=True):
    """What was asked for, as a Responses create body."""

    body: dict[str, Any]
    # Whether a stream ends with a chunk of usage.
    include_usage: bool


def parse_chat(chat: dict[str, Any]) -> ChatRequest:
    """Map a create body. Raises RequestError with the path of what cannot be mapped."""
    # A chat client sends its whole conversation each time: its turns need not be kept.
    body: dict[str, Any] = {"input": input_items(chat.get("messages")), "store": False}
    include_usage = False
    for name, value in chat.items():
        if value is None or name == "messages":
            continue
        if name in _SAME:
            body[name] = value
        elif name in _MAPPED:
            _MAPPED[name](value, body)
        elif name == "stream_options":
            include_usage = _members(value, name).get("include_usage") is True
        elif value not in _IDLE.get(name, ()):
            raise _unsupported(name)
    return ChatRequest(body, include_usage)


@contextlib.contextmanager
def in_own_words(chat: dict[str, Any]) -> Iterator[None]:
    """Let a refusal of what a chat became name what the client sent."""
    try:
        yield
    except RequestError as error:
        word = next((name for name in _WORDS.get(error.param or "", ()) if chat.get(name) is not None), None)
        if word is None:
            raise
        message = error.message.replace(f"`{error.param}`", f"`{word}`")
        raise type(error)(error.code, message, param=word) from error


def _map_limit(value: Any, body: dict[str, Any]) -> None:
    body["max_output_tokens"] = value


def _map_effort(value: Any, body: dict[str, Any]) -> None:
    body["reasoning"] = {"effort": value}


def _map_verbosity(value: Any, body: dict[str, Any]) -> None:
    body.setdefault("text", {})["verbosity"] = value


def _map_format(value: Any, body: dict[str, Any]) -> None:
    wanted = _members(value, "response_format")
    if wanted.get("type") == "json_schema":
        # One level less, and the schema's own members beside the type.
        wanted = {"type": "json_schema", **_members(wanted.get("json_schema"), "response_format.json_schema")}
    body.setdefault("text", {})["format"] = wanted


def _map_tools(value: Any, body: dict[str, Any]) -> None:
    if not isinstance(value, list):
        raise RequestError("invalid_type", "`tools`: expected a list.", param="tools")
    body["tools"] = [_tool(tool, f"tools[{place}]") for place, tool in enumerate(value)]


def _tool(value: Any, path: str) -> dict[str, Any]:
    tool = _members(value, path)
    if tool.get("type") != "function":
        raise _unsupported(f"{path}.type")
    function = _members(tool.get("function"), f"{path}.function")
    return {
        "type": "function",
        "name": function.get("name"),
        "description": function.get("description"),
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        # What a chat means where it says nothing; the Responses API would mean true.
        "strict": bool(function.get("strict")),
    }


def _map_tool_choice(value: Any, body: dict[str, Any]) -> None:
    if isinstance(value, str):
        body["tool_choice"] = value
        return
    choice = _members(value, "tool_choice")
    if choice.get("type") != "function":
        raise _unsupported("tool_choice.type")
    function = _members(choice.get("function"), "tool_choice.function")
    body["tool_choice"] = {"type": "function", "name": function.get("name")}


_MAPPED: Final[dict[str, Callable[[Any, dict[str, Any]], None]]] = {
    "max_completion_tokens": _map_limit,
    "max_tokens": _map_limit,
    "reasoning_effort": _map_effort,
    "verbosity": _map_verbosity,
    "response_format": _map_format,
    "tools": _map_tools,
    "tool_choice": _map_tool_choice,
}


def _body_schema() -> dict[str, Any]:
    """Describe the body by these tables: what is in none of them must be null or absent."""
    (_,), components = msgspec.json.schema_components((CreateBody,))
    checked = components["CreateBody"]["properties"]
    idle = {name: {"enum": [None, *values]} for name, values in _IDLE.items()}
    limit = checked["max_output_tokens"]
    return {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            **idle,
            **{name: checked.get(name, True) for name in sorted(_SAME)},
            "messages": {"type": "array", "minItems": 1, "items": _OBJECT},
            "stream_options": _OBJECT_OR_NULL,
            "max_completion_tokens": limit,
            "max_tokens": limit,
            "reasoning_effort": True,
            "verbosity": True,
            "response_format": _OBJECT_OR_NULL,
            "tools": {"anyOf": [{"type": "array", "items": _OBJECT}, {"type": "null"}]},
            "tool_choice": {"anyOf": [{"type": "string"}, _OBJECT_OR_NULL]},
        },
        "additionalProperties": {"type": "null"},
    }


_OBJECT: Final = {"type": "object"}
_OBJECT_OR_NULL: Final = {"type": ["object", "null"]}
# The body's schema for the published contract.
CHAT_BODY: Final = _body_schema()


def _members(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError("invalid_type", f"`{path}`: expected an object.", param=path)
    return value


def _unsupported(path: str) -> RequestError:
    message = f"`{path}` can't be asked for here: leave it out, or use /v1/responses."
    return RequestError("unsupported_parameter", message, param=path)
