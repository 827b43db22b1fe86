"""Filter: which rows an operator asked for, and may see.

Owns the reading of a query and the deciding. Guarantees: an operator of one tenant sees rows of that tenant only,
whatever it asks for; a name it does not know is refused by name, for a filter that is ignored shows too much.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from andon.errors import RequestError
from andon.ids import Principal
from andon.scopes import ADMIN_ALL
from gateway.admin.rows import Row

STATES: Final = ("waiting", "queued", "running")
NAMES: Final = ("tenant", "subject", "session", "model", "worker", "state", "min_age_s", "q")
_TEXT_MAX_CHARS: Final = 512


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
        if name not in NAMES and name not in besides:
            message = f"`{name}` is no filter. There are: {', '.join(NAMES + besides)}."
            raise RequestError("unknown_parameter", message, param=name)
    told = {name: query[name] for name in NAMES if name in query}
    for name, value in told.items():
        if not 0 < len(value) <= _TEXT_MAX_CHARS:
            raise RequestError("invalid_value", f"`{name}`: expected 1 to {_TEXT_MAX_CHARS} characters.", param=name)
    if told.get("state", STATES[0]) not in STATES:
        raise RequestError("invalid_value", f"`state`: expected one of {', '.join(STATES)}.", param="state")
    age = told.pop("min_age_s", None)
    return Filter(within=within(principal), min_age_s=None if age is None else seconds(age, "min_age_s"), **told)


def seconds(text: str, name: str) -> float:
    """Read a number of seconds, not negative. Raises RequestError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise RequestError("invalid_value", f"`{name}`: expected a number of seconds, 0 or more.", param=name)
    return value


def _is_in(text: str, row: Row) -> bool:
    words = (row.id, row.session_tag, row.session, row.tenant, row.subject, row.model, row.worker or "", row.host or "")
    wanted = text.casefold()
    return any(wanted in word.casefold() for word in words)
