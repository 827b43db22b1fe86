"""Output: the fold of a response's events into its output items.

Owns the one way in which events become `response.output`: the worker folds what it logged, a rescuer folds what it
reads from the log of a worker that died, and both get the same items. Does no I/O. An item whose
`response.output_item.done` was folded is that event's item; any other is partial and gets status `incomplete`.
"""

from collections.abc import Iterable
from typing import Any, Final

from andon.frames import decode
from andon.pieces import Delta, Event

# Where the text of each delta belongs: (list of parts within the item, or None for the item itself; member).
_DELTA_HOMES: Final[dict[str, tuple[str | None, str]]] = {
    "response.output_text.delta": ("content", "text"),
    "response.refusal.delta": ("content", "refusal"),
    "response.reasoning_text.delta": ("content", "text"),
    "response.reasoning_summary_text.delta": ("summary", "text"),
    "response.function_call_arguments.delta": (None, "arguments"),
    "response.custom_tool_call_input.delta": (None, "input"),
    "response.mcp_call_arguments.delta": (None, "arguments"),
    "response.code_interpreter_call_code.delta": (None, "code"),
}
# Of a type that is not among them.
_OWN_TEXT: Final = (None, "text")
# Events that tell a part whole: (list of parts within the item, member that holds the part's index).
_PARTS: Final = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}
_PART_OF_DELTA: Final = {"content": "content_index", "summary": "summary_index"}


class OutputFold:
    """Folds pieces, or frames of a log, into output items."""

    def __init__(self) -> None:
        # Output index to the item as last told whole (added or done), its parts included.
        self._items: dict[int, dict[str, Any]] = {}
        # Output indexes whose item is final.
        self._done: set[int] = set()
        # Text that grew since: (output index, list of parts, index in it, member) to its pieces, joined on demand.
        self._grown: dict[tuple[int, str | None, int, str], list[str]] = {}

    def add(self, piece: Delta | Event) -> None:
        """Fold one piece. Events that say nothing of the output change nothing."""
        if isinstance(piece, Delta):
            home, member = _DELTA_HOMES.get(piece.type, _OWN_TEXT)
            part = piece.part
            self._grow(piece.output_index, home, 0 if part is None else part[1], member, piece.text)
        else:
            self._add_event(piece.type, piece.body)

    def add_frame(self, frame: bytes) -> None:
        """Fold one frame as the log holds it."""
        event = decode(frame)
        self._add_event(event["type"], event)

    def add_frames(self, frames: Iterable[bytes]) -> None:
        """Fold frames in their order."""
        for frame in frames:
            self.add_frame(frame)

    def _add_event(self, type_: str, body: dict[str, Any]) -> None:
        index = body.get("output_index")
        if index is None:
            return
        if type_ == "response.output_item.added":
            self._items[index] = dict(body["item"])
        elif type_ == "response.output_item.done":
            self._items[index] = dict(body["item"])
            self._done.add(index)
            self._forget_grown(index)
        elif type_ in _PARTS:
            part_home, name = _PARTS[type_]
            self._set_part(index, part_home, body[name], body["part"])
        elif type_ in _DELTA_HOMES:
            home, member = _DELTA_HOMES[type_]
            part_index = body.get(_PART_OF_DELTA[home], 0) if home else 0
            self._grow(index, home, part_index, member, body["delta"])
        elif type_ == "response.output_text.annotation.added":
            part = self._part(index, "content", body["content_index"])
            part["annotations"] = [*part.get("annotations", ()), body["annotation"]]

    def _grow(self, index: int, home: str | None, part_index: int, member: str, text: str) -> None:
        key = (index, home, part_index, member)
        grown = self._grown.get(key)
        if grown is None:
            self._grown[key] = [text]
        else:
            grown.append(text)

    def _forget_grown(self, index: int, home: str | None = None, part_index: int | None = None) -> None:
        for key in [k for k in self._grown if k[0] == index and part_index in (None, k[2]) and home in (None, k[1])]:
            del self._grown[key]

    def _set_part(self, index: int, home: str, part_index: int, part: dict[str, Any]) -> None:
        self._forget_grown(index, home, part_index)
        current = self._part(index, home, part_index)
        current.clear()
        current.update(part)

    def _part(self, index: int, home: str, part_index: int) -> dict[str, Any]:
        item = self._items.setdefault(index, {})
        parts = list(item.get(home) or ())
        while len(parts) <= part_index:
            parts.append({})
        parts[part_index] = dict(parts[part_index])
        item[home] = parts
        found: dict[str, Any] = parts[part_index]
        return found

    def items(self, unfinished: str = "incomplete") -> list[dict[str, Any]]:
        """Return the output items in order; those that are not done have the status `unfinished`."""
        for (index, home, part_index, member), texts in self._grown.items():
            target = self._items.setdefault(index, {}) if home is None else self._part(index, home, part_index)
            target[member] = (target.get(member) or "") + "".join(texts)
        self._grown.clear()
        return [
            item if index in self._done else {**item, "status": unfinished}
            for index, item in sorted(self._items.items())
        ]


def output_text(items: Iterable[dict[str, Any]]) -> str:
    """Join all text that a model wrote into these items: answers, refusals, reasoning, arguments, code."""
    texts: list[str] = []
    for item in items:
        texts.extend(str(item[member]) for member in ("arguments", "input", "code") if item.get(member))
        for home in ("summary", "content"):
            for part in item.get(home) or ():
                texts.extend(str(part[member]) for member in ("text", "refusal") if part.get(member))
    return "".join(texts)
