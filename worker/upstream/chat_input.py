"""Chat input: Responses input items as Chat Completions messages.

Owns the mapping of items and content parts. Raises UnsupportedParameterError with the path of what has no place in a
chat. Does not own the other fields of a request (`chat_request`).
"""

from typing import Any

from worker.upstream.errors import UnsupportedParameterError

_ROLES = frozenset({"user", "assistant", "system", "developer"})


def chat_messages(instructions: Any, items: Any) -> list[dict[str, Any]]:
    """Return the messages for `instructions` (a system message, first) and `input` (a string or a list of items).

    Reasoning items are dropped: a chat has no place for them, and a model does not need its own. A function call joins
    the assistant message before it, as Chat Completions has it.
    """
    messages: list[dict[str, Any]] = []
    if instructions is not None:
        if not isinstance(instructions, str):
            raise UnsupportedParameterError("instructions", "`instructions` must be a string.")
        messages.append({"role": "system", "content": instructions})
    if isinstance(items, str):
        messages.append({"role": "user", "content": items})
    elif isinstance(items, list):
        for position, item in enumerate(items):
            _add_item(messages, item, f"input[{position}]")
    elif items is not None:
        raise UnsupportedParameterError("input", "`input` must be a string or a list of items.")
    return messages


def _add_item(messages: list[dict[str, Any]], item: Any, path: str) -> None:
    if not isinstance(item, dict):
        raise UnsupportedParameterError(path, f"`{path}` must be an object.")
    match item.get("type", "message"):
        case "message":
            messages.append(_message(item, path))
        case "function_call":
            _add_call(messages, item, path)
        case "function_call_output":
            content = _tool_content(item.get("output"), f"{path}.output")
            messages.append({"role": "tool", "tool_call_id": _text(item, "call_id", path), "content": content})
        case "reasoning":
            pass
        case kind:
            raise _unsupported(f"{path}.type", kind)


def _message(item: dict[str, Any], path: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in _ROLES:
        raise _unsupported(f"{path}.role", role)
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list):
        raise UnsupportedParameterError(f"{path}.content", f"`{path}.content` must be a string or a list of parts.")
    if role == "assistant":
        return _assistant_message(content, f"{path}.content")
    parts = [_part(part, f"{path}.content[{position}]") for position, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text" and len(parts[0]) == 2:  # noqa: PLR2004 - type and text alone
        return {"role": role, "content": parts[0]["text"]}  # many chat templates know strings only
    return {"role": role, "content": parts}


def _assistant_message(content: list[Any], path: str) -> dict[str, Any]:
    """Join an answer's parts: chat servers widely take an assistant's content as one string only."""
    said: list[str] = []
    refused: list[str] = []
    for position, part in enumerate(content):
        where = f"{path}[{position}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in {"output_text", "input_text", "text"}:
            said.append(_text(part, "text", where))
        elif kind == "refusal":
            refused.append(_text(part, "refusal", where))
        else:
            raise _unsupported(f"{where}.type", kind)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said) if said or not refused else None}
    return message | {"refusal": "".join(refused)} if refused else message


def _part(part: Any, path: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "input_text" | "output_text" | "text":
            mapped: dict[str, Any] = {"type": "text", "text": _text(part, "text", path)}
        case "input_image":
            mapped = {"type": "image_url", "image_url": _image(part, path)}
        case "input_file":
            mapped = {"type": "file", "file": _file(part, path)}
        case _:
            raise _unsupported(f"{path}.type", kind)
    if part.get("prompt_cache_breakpoint") is not None:
        mapped["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return mapped


def _image(part: dict[str, Any], path: str) -> dict[str, Any]:
    if part.get("file_id") is not None:
        raise _unsupported(f"{path}.file_id", part["file_id"], "give the image by `image_url` (a data URL will do)")
    image = {"url": _text(part, "image_url", path)}
    detail = part.get("detail")
    if detail is not None:
        if detail not in {"auto", "low", "high"}:
            raise _unsupported(f"{path}.detail", detail)
        image["detail"] = detail
    return image


def _file(part: dict[str, Any], path: str) -> dict[str, Any]:
    if part.get("file_url") is not None:
        raise _unsupported(f"{path}.file_url", part["file_url"], "give the file by `file_data` or `file_id`")
    if part.get("detail") not in {None, "auto"}:
        raise _unsupported(f"{path}.detail", part["detail"])
    return {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name) is not None}


def _add_call(messages: list[dict[str, Any]], item: dict[str, Any], path: str) -> None:
    function = {"name": _text(item, "name", path), "arguments": _text(item, "arguments", path)}
    call = {"id": _text(item, "call_id", path), "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _tool_content(output: Any, path: str) -> str | list[dict[str, Any]]:
    if isinstance(output, str):
        return output
    if not isinstance(output, list):
        raise UnsupportedParameterError(path, f"`{path}` must be a string or a list of parts.")
    parts = [_part(part, f"{path}[{position}]") for position, part in enumerate(output)]
    for position, part in enumerate(parts):
        if part["type"] != "text":  # a tool message of a chat holds text only
            raise _unsupported(f"{path}[{position}].type", output[position]["type"])
    return parts


def _text(holder: dict[str, Any], name: str, path: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise UnsupportedParameterError(f"{path}.{name}", f"`{path}.{name}` must be a string.")
    return value


def _unsupported(path: str, value: Any, instead: str = "leave it out, or use the `responses` upstream") -> Exception:
    shown = f" {value!r}" if isinstance(value, str) and len(value) <= 64 else ""  # noqa: PLR2004 - a name, not a document
    return UnsupportedParameterError(path, f"`{path}`{shown} can't be asked of a Chat Completions upstream: {instead}.")
