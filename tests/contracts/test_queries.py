"""Query parameters of the operators' routes are taken within their published bounds, and no further."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jsonschema
import pytest

from andon.errors import RequestError
from andon.ids import ANONYMOUS
from andon.member import Member
from gateway.admin import auditing
from gateway.admin.filter import FILTERS, parse_filter
from gateway.admin.page import NAMES, PAGING, limit, parse_paging
from gateway.contract.schemas import Schemas

_TEXTS: Final = ["", "x", "x" * 512, "x" * 513, "json", "xml", "asked", "stopped", "socket", "1-2", "1-", "-1-2", "5.5",
                 "5.", "1e9", "12\n", "1-2\n", "9" * 12, "9" * 13, "9" * 19 + "-" + "9" * 19, "9" * 20 + "-1",
                 "oldest", "running", "ended"]  # fmt: skip
_NUMBERS: Final = [-1, 0, 1, 100, 101, 500, 501, 1000, 1001, 10**12]


def _read(query: dict[str, str]) -> None:
    parse_filter(query, ANONYMOUS, besides=NAMES)
    parse_paging(query)


def _read_of_audit(query: dict[str, str]) -> None:
    auditing.parse_wanted(query, None)
    (limit_member,) = (member for member in auditing.QUERY if member.name == "limit")
    limit(query, limit_member, 1)


def _is_taken(read: Callable[[], None]) -> bool:
    try:
        read()
    except RequestError:
        return False
    return True


def _values(schema: dict[str, Any]) -> list[Any]:
    return _NUMBERS if schema.get("type") in {"integer", "number"} else _TEXTS


def _is_valid(member: Member[Any], value: Any) -> bool:
    schemas = Schemas()
    document = {"allOf": [schemas.of(member.type)], "components": {"schemas": schemas.components}}
    return bool(jsonschema.Draft202012Validator(document).is_valid(value))


@pytest.mark.parametrize("member", [*FILTERS, *PAGING], ids=lambda member: member.name)
def test_a_filter_and_a_page_are_taken_as_published(member: Member[Any]) -> None:
    """But for the cursor, which is opaque: a document cannot say what it holds."""
    if member.name == "cursor":
        return
    for value in _values(Schemas().of(member.type)):
        taken = _is_taken(partial(_read, {member.name: str(value)}))
        assert taken == _is_valid(member, value), value


@pytest.mark.parametrize("member", auditing.QUERY, ids=lambda member: member.name)
def test_a_query_of_the_audit_is_taken_as_published(member: Member[Any]) -> None:
    """Places and seconds, names of steps, outcomes and doors."""
    for value in _values(Schemas().of(member.type)):
        query = {member.name: str(value)}
        taken = _is_taken(partial(_read_of_audit, query))
        assert taken == _is_valid(member, value), value
