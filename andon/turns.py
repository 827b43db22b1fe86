"""Turns: what a session remembers, and how `previous_response_id` becomes context.

Owns the shape of a stored turn (the request, its ancestors, its output) and the making of input items from it. Pure.
A turn is written by the script that ends a response, the partial output of a stopped one included, and kept for
`ANDON_SESSION_TTL_S`; `store: false` writes none. So a conversation goes on with every upstream, also with one that
keeps nothing itself.
"""

from typing import Any, Final

import msgspec

from andon.ids import ResponseId

# A chain longer than this is a mistake, or an agent that should compact.
MOST_TURNS: Final = 1000

# Members that name an item in the upstream that made it, or say how far it got: no part of a conversation.
_NOT_INPUT: Final = frozenset({"id", "status"})
# A call that was cut short has no output and never will: model servers refuse a request that holds one.
_CALLS: Final = frozenset({"function_call", "custom_tool_call", "mcp_call", "code_interpreter_call"})


class _Request(msgspec.Struct):
    input: Any = None


class Turn(msgspec.Struct, frozen=True):
    """One stored turn. `chain`: the turns before it, oldest first."""

    chain: tuple[ResponseId, ...]
    request: _Request
    output: list[dict[str, Any]]

    def items(self) -> list[dict[str, Any]]:
        """Return the input items that this turn adds to a conversation: its input, then its output."""
        return [*as_items(self.request.input), *(kept for item in self.output if (kept := _as_input(item)))]


def parse_turn(stored: bytes) -> Turn:
    """Read a turn as the scripts wrote it."""
    return msgspec.json.decode(stored, type=Turn)


def as_items(given: Any) -> list[dict[str, Any]]:
    """Return an `input` as a list of items: a text is a message of the user."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return list(given or ())


def _as_input(item: dict[str, Any]) -> dict[str, Any] | None:
    """Make an input item of an output item; None where it says nothing to the next turn."""
    kind = item.get("type")
    is_partial = item.get("status") == "incomplete"
    if kind in _CALLS and is_partial:
        return None
    if kind == "reasoning" and (is_partial or not item.get("encrypted_content")):
        return None  # only its own upstream could read it, and only by an id that it has kept
    if kind == "message":
        item = {**item, "content": [part for part in item.get("content") or () if _says_something(part)]}
        if not item["content"]:
            return None
    return {name: value for name, value in item.items() if name not in _NOT_INPUT}


def _says_something(part: dict[str, Any]) -> bool:
    return bool(part.get("text") or part.get("refusal"))


def with_context(request: dict[str, Any], turns: list[Turn]) -> dict[str, Any]:
    """Put the turns before a request's own input; its instructions stay its own, as OpenAI's do."""
    items = [item for turn in turns for item in turn.items()]
    items += as_items(request.get("input"))
    return {**{name: value for name, value in request.items() if name != "previous_response_id"}, "input": items}
