"""Usage: what an upstream counted, in the Responses shape.

Owns the two foreign shapes (Responses, Chat Completions) and what a client's SDK requires of the result: whole
numbers, details included, none negative. Does not own `source` (the scribe adds it) or estimates.
"""

from typing import Any

_INPUT_DETAILS = ("cached_tokens", "cache_write_tokens")
_OUTPUT_DETAILS = ("reasoning_tokens",)


def responses_usage(usage: Any) -> dict[str, Any] | None:
    """Complete a Responses usage; None where the two counts are not both there. Extra fields are kept."""
    if not isinstance(usage, dict):
        return None
    taken, given = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if taken is None or given is None:
        return None
    input_details, output_details = (
        _mapping(usage.get("input_tokens_details")),
        _mapping(usage.get("output_tokens_details")),
    )
    return {
        **usage,
        "input_tokens": taken,
        "input_tokens_details": {**input_details, **_counts(input_details, _INPUT_DETAILS)},
        "output_tokens": given,
        "output_tokens_details": {**output_details, **_counts(output_details, _OUTPUT_DETAILS)},
        "total_tokens": _total(usage, taken + given),
    }


def chat_usage(usage: Any) -> dict[str, Any] | None:
    """Map a Chat Completions usage; None where the two counts are not both there."""
    if not isinstance(usage, dict):
        return None
    taken, given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if taken is None or given is None:
        return None
    return {
        "input_tokens": taken,
        "input_tokens_details": _counts(_mapping(usage.get("prompt_tokens_details")), _INPUT_DETAILS),
        "output_tokens": given,
        "output_tokens_details": _counts(_mapping(usage.get("completion_tokens_details")), _OUTPUT_DETAILS),
        "total_tokens": _total(usage, taken + given),
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _counts(details: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    return {name: _count(details.get(name)) or 0 for name in names}


def _total(usage: dict[str, Any], added_up: int) -> int:
    told = _count(usage.get("total_tokens"))
    return added_up if told is None else told


def _count(value: Any) -> int | None:
    """Return a count of tokens; some servers send whole floats. Anything else is no count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        return None
    return int(value)
