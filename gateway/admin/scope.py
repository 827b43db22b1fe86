"""Scope: what a broadcast stop reaches.

Owns the reading of a scope and the deciding what is in it. Guarantees: an operator of one tenant reaches that tenant
only, whatever its scope says; a scope that says nothing reaches nothing.
"""

import re
from typing import Any, Final

import msgspec

from andon.broadcasts import Scope
from andon.errors import RequestError
from andon.ids import Principal, ResponseId, SessionName, SessionTag, as_response_id, session_tag, tag_of
from gateway.admin.rows import Row

_TAG: Final = re.compile(r"[a-z2-7]{24}")
_WORD_MAX_CHARS: Final = 512
_WORDS: Final = ("response_id", "session", "tenant", "subject", "model")


def is_tag(text: str) -> bool:
    """Tell whether this may be a session's tag."""
    return _TAG.fullmatch(text) is not None


def parse_scope(body: dict[str, Any], within: str | None) -> Scope:
    """Read `scope` from a body. `within`: the one tenant that the operator is bound to. Raises RequestError."""
    told = body.get("scope")
    if not isinstance(told, dict):
        message = "`scope`: give an object with response_id, session, subject, tenant, model, or all: true."
        raise RequestError("missing_required_parameter", message, param="scope")
    for name, value in told.items():
        _check(name, value)
    scope = Scope(**{name: value for name, value in told.items() if value is not None and value is not False})
    named = [name for name in _WORDS if getattr(scope, name) is not None]
    if not named and not scope.all:
        raise _bad("scope", "is empty. To stop everything, say all: true")
    if named and (scope.all or (scope.response_id is not None and len(named) > 1)):
        raise _bad("scope", "gives `all` or `response_id` together with something else. Give either alone")
    if scope.subject is not None and scope.tenant is None and within is not None:
        scope = msgspec.structs.replace(scope, tenant=within)
    is_named = scope.tenant is not None and scope.subject is not None
    if scope.session is not None and not is_named and not is_tag(scope.session):
        raise _bad("scope.session", "is no session tag. To name a session, give its tenant and subject too")
    return scope


def _check(name: str, value: Any) -> None:
    if name == "all":
        if not isinstance(value, bool):
            raise _bad("scope.all", "must be true or false")
    elif name not in _WORDS:
        raise RequestError("unknown_parameter", f"`scope` has no `{name[:80]}`.", param="scope")
    elif value is not None and not (isinstance(value, str) and 0 < len(value) <= _WORD_MAX_CHARS):
        raise _bad(f"scope.{name}", f"must be a string of 1 to {_WORD_MAX_CHARS} characters")


def _bad(name: str, what: str) -> RequestError:
    return RequestError("invalid_value", f"`{name}` {what}.", param=name)


def place_of(scope: Scope) -> tuple[SessionTag | None, ResponseId | None]:
    """Return the one session and the one response where a scope's responses are; None: anywhere."""
    if scope.response_id is not None:
        response_id = as_response_id(scope.response_id)
        # An id that is none of ours: a session that never was.
        return (SessionTag(""), None) if response_id is None else (tag_of(response_id), response_id)
    if scope.session is None:
        return None, None
    if scope.tenant is not None and scope.subject is not None and not is_tag(scope.session):
        return session_tag(Principal(scope.tenant, scope.subject), SessionName(scope.session)), None
    if scope.tenant is not None and scope.subject is not None:
        return None, None  # a name that looks like a tag: it may be either
    return SessionTag(scope.session), None


def is_in(scope: Scope, within: str | None, row: Row) -> bool:
    """Tell whether a row is in a scope."""
    return (
        within in {None, row.tenant}
        and scope.response_id in {None, row.id}
        and scope.session in {None, row.session_tag, row.session}
        and scope.tenant in {None, row.tenant}
        and scope.subject in {None, row.subject}
        and scope.model in {None, row.model}
    )
