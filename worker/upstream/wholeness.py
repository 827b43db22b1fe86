"""Wholeness: the fields a client's SDK requires and model servers leave out.

Owns the filling-in of items and parts. Does not own where they belong in the output (`positions`). Guarantees that
what was there stays as it was; only an absent or null field is filled.
"""

from typing import Any, Literal

ItemStatus = Literal["in_progress", "completed", "incomplete"]

# By part type: what `openai.types.responses` requires of it. Fresh lists are made at each use.
_PART_TEXT = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
_PART_LISTS = {"output_text": ("annotations", "logprobs")}

# By item type: the text and the lists it must have.
_ITEM_TEXT = {"function_call": ("arguments", "name"), "custom_tool_call": ("input", "name")}
_ITEM_LISTS = {"message": ("content",), "reasoning": ("summary",)}
_ITEMS_WITH_STATUS = frozenset({"message", "function_call", "custom_tool_call"})
_CALLS = frozenset({"function_call", "custom_tool_call"})


def whole_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return the content part with everything its type requires."""
    kind = str(part.get("type"))
    filled = {name: value for name, value in part.items() if value is not None}
    if kind in _PART_TEXT:
        filled.setdefault(_PART_TEXT[kind], "")
    for name in _PART_LISTS.get(kind, ()):
        filled.setdefault(name, [])
    return {**part, **filled}


def whole_item(item: dict[str, Any], status: ItemStatus, made_up_id: str) -> dict[str, Any]:
    """Return the output item with everything its type requires.

    `status` is used where the item names none; `made_up_id` where it has neither `id` nor `call_id`.
    """
    kind = str(item.get("type"))
    filled = {name: value for name, value in item.items() if value is not None}
    if not filled.get("id"):
        # llama.cpp leaves a call's `id` out and uses its `call_id` as the `item_id` of its deltas.
        filled["id"] = filled.get("call_id") or made_up_id
    if kind in _CALLS:
        filled.setdefault("call_id", filled["id"])
    if kind == "message":
        filled.setdefault("role", "assistant")
    if kind in _ITEMS_WITH_STATUS:
        filled.setdefault("status", status)
    for name in _ITEM_TEXT.get(kind, ()):
        filled.setdefault(name, "")
    for name in _ITEM_LISTS.get(kind, ()):
        filled.setdefault(name, [])
    for name in ("content", "summary"):
        if isinstance(filled.get(name), list):
            filled[name] = [whole_part(part) if isinstance(part, dict) else part for part in filled[name]]
    return {**item, **filled}
