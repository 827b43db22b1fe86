"""Page: a bounded part of a list, and the cursor to the next.

Owns order, bound and cursor. The cursor names the last row by its time and id, so rows that come or go in between
neither repeat nor hide another. It is opaque to clients and trusted with nothing.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from andon.member import Member

_DEFAULT: Final = 100
_MOST: Final = 500


def limit_of(default: int, most: int) -> Member[int]:
    """Describe how many rows a page has."""
    type_, expected = Annotated[int, Meta(ge=1, le=most)], f"a number from 1 to {most}"
    return Member[int]("limit", type_, expected, f"How many, at most. Default: {default}.", "invalid_value")


_LIMIT: Final = limit_of(_DEFAULT, _MOST)
_ORDER: Final = Member[str](
    "order",
    Literal["oldest", "newest"],
    "`oldest` or `newest`",
    "The first. Default: `oldest`.",
    "invalid_value",
)
_CURSOR: Final = Member[str]("cursor", str, "the `next` of the page before", "Where to go on.", "invalid_value")
PAGING: Final[tuple[Member[Any], ...]] = (_LIMIT, _ORDER, _CURSOR)
NAMES: Final = tuple(member.name for member in PAGING)

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
    is_oldest_first = _ORDER.checked(query.get(_ORDER.name, "oldest")) == "oldest"
    cursor = query.get(_CURSOR.name)
    return Paging(limit(query, _LIMIT, _DEFAULT), is_oldest_first, None if cursor is None else _place(cursor))


def limit(query: Mapping[str, str], member: Member[int], default: int) -> int:
    """Read how many are asked for. Raises RequestError."""
    text = query.get(member.name)
    if text is None:
        return default
    # By hand: `int` takes spaces, underscores and any script's digits, and limits how many.
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004  digits
        raise member.refusal()
    return member.checked(int(text))


def _cursor(place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        read = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: Any = msgspec.json.decode(read, type=Place)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise _CURSOR.refusal() from error
    return (place[0], place[1])
