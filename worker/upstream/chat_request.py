"""The chat request: a Responses create body as a Chat Completions body.

Owns the mapping of every field of the Responses create body. Each is either mapped or refused by name, never dropped
in silence (but for those that only say what is so anyway). Does not own the messages (`chat_input`).

The token limit goes out as `max_completion_tokens`: OpenAI's reasoning models refuse `max_tokens`, and vLLM,
llama.cpp and Ollama know both. A server that knows only the old name is served by the parameter.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from worker.upstream.chat_input import chat_messages
from worker.upstream.errors import UnsupportedParameterError

LimitField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]

# Fields of the same name and meaning on both sides.
_SAME = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "metadata",
        "store",
        "user",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
    }
)
# Fields that are meant for us: answered, or resolved into `input`, before the request gets here; and our own `stream`.
_OURS = frozenset({"background", "previous_response_id", "generate", "stream"})
_ABOUT_TOOLS = frozenset({"tool_choice", "parallel_tool_calls"})
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")


def build_request(
    body: dict[str, Any], *, limit_field: LimitField = "max_completion_tokens", running_usage: bool = False
) -> dict[str, Any]:
    """Return the chat request for a validated `response.create` body (no type, stream_id or event_id).

    Raises UnsupportedParameterError for a field, or a value, that a chat has no word for. A null field is absent.
    """
    request: dict[str, Any] = {
        "messages": chat_messages(body.get("instructions"), body.get("input")),
        "stream": True,
        "stream_options": {"include_usage": True, **({"continuous_usage_stats": True} if running_usage else {})},
    }
    for name, value in body.items():
        if value is None or name in _OURS or name in {"instructions", "input"}:
            continue
        if name in _SAME:
            request[name] = value
        elif name == "max_output_tokens":
            request[limit_field] = value
        elif name in _ABOUT_TOOLS and not body.get("tools"):
            # OpenAI refuses both without tools. Left out they mean the same, but for a choice that can't be met.
            if name == "tool_choice" and value not in ("auto", "none"):
                raise _unsupported(name, "there are no `tools` to choose from")
        elif name in _MAPPED:
            _MAPPED[name](value, request)
        else:
            raise _unsupported(name)
    return request


def _map_tools(tools: Any, request: dict[str, Any]) -> None:
    if not isinstance(tools, list):
        raise UnsupportedParameterError("tools", "`tools` must be a list.")
    mapped = []
    for position, tool in enumerate(tools):
        path = f"tools[{position}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            raise _unsupported(f"{path}.type", "only `function` tools can")
        for name, value in tool.items():
            if value not in (None, False, []) and name != "type" and name not in _FUNCTION_FIELDS:
                raise _unsupported(f"{path}.{name}")
        function = {name: tool[name] for name in _FUNCTION_FIELDS if tool.get(name) is not None}
        mapped.append({"type": "function", "function": function})
    if mapped:
        request["tools"] = mapped


def _map_tool_choice(choice: Any, request: dict[str, Any]) -> None:
    if choice in ("auto", "none", "required"):
        request["tool_choice"] = choice
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "function":
        request["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind == "allowed_tools":
        tools = choice.get("tools")
        allowed = []
        for position, tool in enumerate(tools if isinstance(tools, list) else ()):
            if not isinstance(tool, dict) or tool.get("type") != "function":
                raise _unsupported(f"tool_choice.tools[{position}].type", "only `function` tools can")
            allowed.append({"type": "function", "function": {"name": tool.get("name")}})
        request["tool_choice"] = {
            "type": "allowed_tools",
            "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed},
        }
    else:
        raise _unsupported("tool_choice", "`auto`, `none`, `required`, a function or `allowed_tools` can")


def _map_parallel_tool_calls(value: Any, request: dict[str, Any]) -> None:
    request["parallel_tool_calls"] = value


def _map_top_logprobs(value: Any, request: dict[str, Any]) -> None:
    request["logprobs"] = True
    request["top_logprobs"] = value


def _map_include(include: Any, request: dict[str, Any]) -> None:
    for position, name in enumerate(include if isinstance(include, list) else ()):
        if name != "message.output_text.logprobs":
            raise _unsupported(f"include[{position}]", "only `message.output_text.logprobs` can")
        request["logprobs"] = True


def _map_text(text: Any, request: dict[str, Any]) -> None:
    for name, value in _fields("text", text):
        if name == "verbosity":
            request["verbosity"] = value
        elif name == "format":
            _map_format(value, request)
        else:
            raise _unsupported(f"text.{name}")


def _map_format(text_format: Any, request: dict[str, Any]) -> None:
    match text_format.get("type") if isinstance(text_format, dict) else None:
        case "text":
            return  # the default
        case "json_object":
            request["response_format"] = {"type": "json_object"}
        case "json_schema":
            fields = ("name", "description", "schema", "strict")
            schema = {name: text_format[name] for name in fields if text_format.get(name) is not None}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        case _:
            raise _unsupported("text.format.type", "`text`, `json_object` and `json_schema` can")


def _map_reasoning(reasoning: Any, request: dict[str, Any]) -> None:
    for name, value in _fields("reasoning", reasoning):
        if name != "effort":
            raise _unsupported(f"reasoning.{name}", "only `effort` can")
        request["reasoning_effort"] = value


def _map_stream_options(options: Any, request: dict[str, Any]) -> None:
    for name, value in _fields("stream_options", options):
        if name != "include_obfuscation":
            raise _unsupported(f"stream_options.{name}")
        request["stream_options"][name] = value


def _map_truncation(truncation: Any, _request: dict[str, Any]) -> None:
    if truncation != "disabled":  # a chat never truncates
        raise _unsupported("truncation", "only `disabled` can")


def _fields(name: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise UnsupportedParameterError(name, f"`{name}` must be an object.")
    return [(field, each) for field, each in value.items() if each is not None]


def _unsupported(param: str, instead: str = "leave it out, or use the `responses` upstream") -> Exception:
    return UnsupportedParameterError(param, f"`{param}` can't be asked of a Chat Completions upstream: {instead}.")


_MAPPED: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "tools": _map_tools,
    "tool_choice": _map_tool_choice,
    "parallel_tool_calls": _map_parallel_tool_calls,
    "top_logprobs": _map_top_logprobs,
    "include": _map_include,
    "text": _map_text,
    "reasoning": _map_reasoning,
    "stream_options": _map_stream_options,
    "truncation": _map_truncation,
}
