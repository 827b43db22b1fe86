"""Member: one member of what a client sends: its type, its bounds, and the words of its refusal, written once.

Owns the description. The parsers read by it and the published contracts repeat it, so neither can say what the other
does not do. Does not own rules between members.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from andon.errors import RequestError

T = TypeVar("T")


class Member(msgspec.Struct, Generic[T], frozen=True):
    """A member of a JSON object, a query parameter or a header."""

    name: str
    # What msgspec converts to, bounds included (`Meta`): the JSON Schema of the contracts is made from it.
    type: Any
    # The remedy: what is expected, in words.
    expected: str
    # What it is for; the contracts say so.
    meaning: str
    code: str = "invalid_type"
    is_required: bool = False

    def read(self, members: Mapping[str, Any]) -> T | None:
        """Read it; None where it is absent or null. Raises RequestError that names it."""
        value = members.get(self.name)
        return None if value is None else self.checked(value)

    def checked(self, value: Any) -> T:
        """Check a value. Raises RequestError."""
        try:
            checked: T = msgspec.convert(value, self.type)
        except msgspec.ValidationError as error:
            raise self.refusal() from error
        return checked

    def refusal(self, code: str | None = None) -> RequestError:
        """Say what is expected."""
        return RequestError(code or self.code, f"`{self.name}`: expected {self.expected}.", param=self.name)
