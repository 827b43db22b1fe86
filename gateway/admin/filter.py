"""Filter: which rows an operator asked for, and may see.

Owns the reading of a query and the deciding. Guarantees: an operator of one tenant sees rows of that tenant only,
whatever it asks for; a name it does not know is refused by name, for a filter that is ignored shows too much.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from andon.errors import RequestError
from andon.ids import Principal
from andon.member import Member
from andon.scopes import ADMIN_ALL
from gateway.admin.rows import LiveState, Row

_TEXT_MAX_CHARS: Final = 512


def _text(name: str, meaning: str) -> Member[str]:
    type_ = Annotated[str, Meta(min_length=1, max_length=_TEXT_MAX_CHARS)]
    return Member[str](name, type_, f"1 to {_TEXT_MAX_CHARS} characters", meaning, "invalid_value")


_WORDS: Final[tuple[Member[str], ...]] = (
    _text("tenant", "Of this tenant."),
    _text("subject", "Of this subject."),
    _text("session", "Of this session: its tag, or its name."),
    _text("model", "For this model."),
    _text("worker", "Run by this worker."),
    Member[str]("state", LiveState, f"one of {', '.join(LiveState)}", "In this state.", "invalid_value"),
    _text("q", "With this text in any word of the row, in capitals or not."),
)
_MIN_AGE_S: Final = Member[float](
    "min_age_s",
    Annotated[float, Meta(ge=0)],
    "a number of seconds, 0 or more",
    "Created so many seconds ago, or more.",
    "invalid_value",
)
# What a query may ask for; all of it must hold.
FILTERS: Final[tuple[Member[Any], ...]] = (*_WORDS, _MIN_AGE_S)
_NAMES: Final = tuple(member.name for member in FILTERS)


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What rows must be like; None where it does not matter."""

    # The one tenant that the operator may see; None: all.
    within: str | None = None
    tenant: str | None = None
    subject: str | None = None
    # A tag or a name.
    session: str | None = None
    model: str | None = None
    worker: str | None = None
    state: str | None = None
    min_age_s: float | None = None
    # Found anywhere in a row's words.
    q: str | None = None

    def takes(self, row: Row, now: float) -> bool:
        """Tell whether a row is asked for and may be seen. `now`: Unix seconds."""
        return (
            self.within in {None, row.tenant}
            and self.tenant in {None, row.tenant}
            and self.subject in {None, row.subject}
            and self.session in {None, row.session, row.session_tag}
            and self.model in {None, row.model}
            and self.worker in {None, row.worker}
            and self.state in {None, row.state}
            and (self.min_age_s is None or now - row.created_at >= self.min_age_s)
            and (self.q is None or _is_in(self.q, row))
        )


def within(principal: Principal) -> str | None:
    """Return the one tenant that an operator is bound to; None: to none."""
    return None if ADMIN_ALL in principal.scopes else principal.tenant


def parse_filter(query: Mapping[str, str], principal: Principal, *, besides: tuple[str, ...] = ()) -> Filter:
    """Read a filter from a query. Raises RequestError; `besides`: names that are somebody else's to read."""
    for name in query:
        if name not in _NAMES and name not in besides:
            message = f"`{name[:80]}` is no filter. There are: {', '.join(_NAMES + besides)}."
            raise RequestError("unknown_parameter", message, param=name[:80])
    told = {word.name: word.checked(query[word.name]) for word in _WORDS if word.name in query}
    age = query.get(_MIN_AGE_S.name)
    return Filter(within=within(principal), min_age_s=None if age is None else _seconds(age), **told)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _MIN_AGE_S.refusal()
    return _MIN_AGE_S.checked(value)


def _is_in(text: str, row: Row) -> bool:
    words = (row.id, row.session_tag, row.session, row.tenant, row.subject, row.model, row.worker or "", row.host or "")
    wanted = text.casefold()
    return any(wanted in word.casefold() for word in words)
