"""Page: a bounded part of a list, and the cursor to the next.

Owns order, bound and cursor. The cursor names the last row by its time and id, so rows that come or go in between
neither repeat nor hide another. It is opaque to clients and trusted with nothing.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from andon.errors import RequestError

NAMES: Final = ("limit", "order", "cursor")
_LIMIT: Final = 100
_LIMIT_MOST: Final = 500

T = TypeVar("T")
Place = tuple[float, str]


class Paging(msgspec.Struct, frozen=True):
    """Which page of a list. `after`: the place of the last row of the page before."""

    limit: int
    is_oldest_first: bool
    after: Place | None

    def page(self, items: list[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """Return the items of this page, in order, and the cursor of the next one if there is one."""
        ordered = sorted(items, key=place, reverse=not self.is_oldest_first)
        if self.after is not None:
            after, is_oldest_first = self.after, self.is_oldest_first
            ordered = [item for item in ordered if (place(item) > after) == is_oldest_first and place(item) != after]
        shown = ordered[: self.limit]
        has_more = len(ordered) > len(shown)
        return shown, _cursor(place(shown[-1])) if has_more else None


def parse_paging(query: Mapping[str, str]) -> Paging:
    """Read which page is asked for. Raises RequestError."""
    order = query.get("order", "oldest")
    if order not in {"oldest", "newest"}:
        raise RequestError("invalid_value", "`order`: expected `oldest` or `newest`.", param="order")
    cursor = query.get("cursor")
    return Paging(limit(query, _LIMIT, _LIMIT_MOST), order == "oldest", None if cursor is None else _place(cursor))


def limit(query: Mapping[str, str], default: int, most: int) -> int:
    """Read how many are asked for. Raises RequestError."""
    text = query.get("limit", str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):  # noqa: PLR2004  digits
        raise RequestError("invalid_value", f"`limit`: expected a number from 1 to {most}.", param="limit")
    return int(text)


def _cursor(place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        read = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: Any = msgspec.json.decode(read, type=Place)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        message = "`cursor`: expected the `next` of the page before."
        raise RequestError("invalid_value", message, param="cursor") from error
    return (place[0], place[1])
