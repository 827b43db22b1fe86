"""Positions: which item and part of the output an event of a Responses stream belongs to.

Owns what was added so far, and with it the `item_id`, `output_index` and part index that some servers leave out
(llama.cpp sends no indexes at all). Raises UnknownItemError for an event whose item was never added: a client's SDK
would break on it.
"""

from typing import Any


class UnknownItemError(Exception):
    """An event belongs to an item that was not added before it."""


class Positions:
    """The items and parts added so far in one stream."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # by output_index
        self._indexes: dict[str, int] = {}  # by item id
        self._parts: dict[tuple[int, str], int] = {}  # by output_index and index name: the part added last
        self._last = -1  # the output_index of the item added last

    def add_item(self, output_index: int | None, item_id: str) -> int:
        """Record an item; its output_index is the next one where the server did not say."""
        index = self._last + 1 if output_index is None else output_index
        self._ids[index] = item_id
        self._indexes[item_id] = index
        self._last = index
        return index

    def add_part(self, output_index: int, name: str, part: int | None) -> int:
        """Record a part of an item; its index is the next one where the server did not say."""
        index = self._parts.get((output_index, name), -1) + 1 if part is None else part
        self._parts[output_index, name] = index
        return index

    def item(self, item_id: str | None, output_index: int | None) -> tuple[str, int]:
        """Return the id and the output_index of an added item, given one of the two, or neither for the last."""
        if output_index is None:
            output_index = self._indexes.get(item_id, -1) if item_id else self._last
        known = self._ids.get(output_index)
        if known is None:
            raise UnknownItemError
        return item_id or known, output_index

    def part(self, output_index: int, name: str, part: int | None) -> int:
        """Return the index of a part: the server's, else that of the part added last, else 0."""
        return self._parts.get((output_index, name), 0) if part is None else part


def index_or_none(value: Any) -> int | None:
    """Return a usable index, or None where the server sent none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
