"""The published schema of a scope holds of exactly the scopes that the parser takes."""

from typing import Any, Final

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from andon.errors import RequestError
from gateway.admin.scope import SCOPE_SCHEMA, parse_scope

_TAG: Final = "a" * 24
_VALIDATOR: Final = jsonschema.Draft7Validator(SCOPE_SCHEMA)
_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, "", "x", _TAG, _TAG + "\n", "x" * 512, "x" * 513, 1, {}, []]
)
_NAMES = st.sampled_from(["response_id", "session", "tenant", "subject", "model", "all", "tennant"])


def _is_taken(scope: dict[str, Any]) -> bool:
    try:
        parse_scope({"scope": scope}, None)
    except RequestError:
        return False
    return True


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
@example({})
@example({"all": True})
@example({"all": True, "tenant": None})
@example({"all": None, "tenant": "a"})
@example({"session": "s", "tenant": "a", "subject": "b"})
@example({"session": _TAG + "\n"})
def test_a_scope_is_taken_if_and_only_if_the_schema_holds(scope: dict[str, Any]) -> None:
    """Names, bounds, and which may stand together."""
    assert _is_taken(scope) == _VALIDATOR.is_valid(scope)


@pytest.mark.parametrize("subject", ["a", None])
def test_an_operator_of_one_tenant_may_leave_its_tenant_out(subject: str | None) -> None:
    """Its session is then named by subject and name; the schema asks for more, which does no harm."""
    scope = {"session": "s", "subject": subject}
    if subject is None:
        with pytest.raises(RequestError, match="no session tag"):
            parse_scope({"scope": scope}, "a")
    else:
        assert parse_scope({"scope": scope}, "a").tenant == "a"
