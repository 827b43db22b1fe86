"""Chat messages: a chat's messages as Responses input items.

Owns the mapping of roles, content parts and tool calls. Does no I/O. Guarantees: what has no place among input items
is refused with its path.
"""

from typing import Any, Final

from andon.errors import RequestError

_ROLES: Final = frozenset({"system", "developer", "user"})


def input_items(messages: Any) -> list[dict[str, Any]]:
    """Map the messages. Raises RequestError."""
    if messages is None or messages == []:
        raise RequestError("missing_required_parameter", "Give `messages`.", param="messages")
    if not isinstance(messages, list):
        raise _wrong("messages", "a list")
    return [item for place, message in enumerate(messages) for item in _items(message, f"messages[{place}]")]


def _items(message: Any, path: str) -> list[dict[str, Any]]:
    if not isinstance(message, dict):
        raise _wrong(path, "an object")
    role = message.get("role")
    if isinstance(role, str) and role in _ROLES:
        return [_message(role, _content(message.get("content"), f"{path}.content", _asked_part))]
    if role == "assistant":
        return _answer(message, path)
    if role == "tool":
        output = _content(message.get("content"), f"{path}.content", _asked_part)
        return [{"type": "function_call_output", "call_id": _text(message, "tool_call_id", path), "output": output}]
    raise RequestError("invalid_value", f"`{path}.role`: no such role here.", param=f"{path}.role")


def _answer(message: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Map what the model said: its text or refusal, then its calls."""
    parts: list[dict[str, Any]] = []
    content = message.get("content")
    if isinstance(content, str) and content:
        parts.append(_said(content))
    elif content:
        mapped = _content(content, f"{path}.content", _answered_part)
        assert isinstance(mapped, list)
        parts += mapped
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": _text(message, "refusal", path)})
    items = [_message("assistant", parts)] if parts else []
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _wrong(f"{path}.tool_calls", "a list")
    return items + [_call(call, f"{path}.tool_calls[{place}]") for place, call in enumerate(calls)]


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _said(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _call(call: Any, path: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _wrong(f"{path}.function", "an object")
    return {
        "type": "function_call",
        "call_id": _text(call, "id", path),
        "name": _text(function, "name", f"{path}.function"),
        "arguments": _text(function, "arguments", f"{path}.function"),
    }


def _content(content: Any, path: str, part: Any) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(path, "a string or a list of parts")
    return [_checked(one, f"{path}[{place}]", part) for place, one in enumerate(content)]


def _checked(one: Any, path: str, part: Any) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise _wrong(path, "an object")
    mapped: dict[str, Any] | None = part(one, path)
    if mapped is None:
        message = f"`{path}.type`: such parts have no place here."
        raise RequestError("unsupported_parameter", message, param=f"{path}.type")
    return mapped


def _asked_part(part: dict[str, Any], path: str) -> dict[str, Any] | None:
    match part.get("type"):
        case "text":
            return {"type": "input_text", "text": _text(part, "text", path)}
        case "image_url":
            image = part.get("image_url")
            if not isinstance(image, dict):
                raise _wrong(f"{path}.image_url", "an object")
            url = _text(image, "url", f"{path}.image_url")
            return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
        case "file":
            file = part.get("file")
            if not isinstance(file, dict):
                raise _wrong(f"{path}.file", "an object")
            return {**file, "type": "input_file"}
        case _:
            return None


def _answered_part(part: dict[str, Any], path: str) -> dict[str, Any] | None:
    match part.get("type"):
        case "text":
            return _said(_text(part, "text", path))
        case "refusal":
            return {"type": "refusal", "refusal": _text(part, "refusal", path)}
        case _:
            return None


def _text(holder: dict[str, Any], name: str, path: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise _wrong(f"{path}.{name}", "a string")
    return value


def _wrong(path: str, what: str) -> RequestError:
    return RequestError("invalid_type", f"`{path}`: expected {what}.", param=path)
