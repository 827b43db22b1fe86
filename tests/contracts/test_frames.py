"""The published schema of a frame holds of exactly the frames that the parser takes."""

import json
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from andon.member import Member
from andon.protocol import FRAMES, Refusal, parse_frame
from gateway.contract.asyncapi import frame_schema
from gateway.contract.schemas import Schemas

RID = new_response_id(session_tag(ANONYMOUS, SessionName("s")))

_NAMES = st.sampled_from(
    ["model", "input", "instructions", "tools", "metadata", "response_id", "stream_id", "starting_after", "reason",
     "event_id", "temperature", "max_output_tokens", "background", "generate", "previous_response_id", "store",
     "prompt", "abandon_s", "top_logprobs", "include"]
)  # fmt: skip
# A float without a fraction is an integer to a schema and none to the parser, which is right to ask what was meant.
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 90_000)
    | st.integers(2**53 - 3, 2**53 + 3)
    | _FLOATS
    | st.text(max_size=8)
    | st.sampled_from([RID, RID + "\n", "lane", "lane\n", "x" * 257, "x" * 513, "x" * 1025, 0.5, 1.5])
)
_VALUES = (
    _SCALARS | st.lists(_SCALARS | st.just({}), max_size=2) | st.dictionaries(st.text(max_size=3), _SCALARS, max_size=2)
)
_FRAMES = st.builds(
    lambda type_, good, rest: {"type": type_, **good, **rest},
    st.sampled_from(sorted(FRAMES)),
    st.sampled_from(
        [{}, {"model": "sim", "input": "x"}, {"response_id": RID}, {"model": "m", "previous_response_id": "p"}]
    ),
    st.dictionaries(_NAMES, _VALUES, max_size=3),
)


@cache
def _validator(type_: str) -> Any:
    schemas = Schemas()
    schema = {**frame_schema(type_, schemas), "components": {"schemas": schemas.components}}
    return jsonschema.Draft7Validator(schema)


@given(_FRAMES)
@example({"type": "response.create", "model": "m", "input": "x", "abandon_s": 1})
@example({"type": "response.create", "model": "m", "input": "x", "generate": False})
@example({"type": "response.create", "model": "m", "input": "x", "background": True})
@example({"type": "response.create", "model": "m", "input": [], "prompt": {}})
@example({"type": "response.create", "model": "m", "input": "x", "stream_id": "lane\n"})
@example({"type": "response.cancel", "response_id": RID, "stream_id": "lane"})
@example({"type": "response.retrieve", "starting_after": 3})
def test_a_frame_is_taken_if_and_only_if_the_schema_holds(frame: dict[str, Any]) -> None:
    """Neither promises what the other refuses: types, bounds, and the rules between members."""
    taken = not isinstance(parse_frame(json.dumps(frame)), Refusal)
    assert taken == _validator(frame["type"]).is_valid(frame)


_BASES: list[dict[str, Any]] = [{"model": "m", "input": "x"}, {"model": "m", "input": "x", "response_id": RID}]


def _at_its_bounds(schema: dict[str, Any]) -> list[Any]:
    """List values within, at and beyond the bounds of a member, and of other types."""
    values: list[Any] = [None, True, [], {}, "", "x", 0, 1, -1, 0.5]
    for name in ("minLength", "maxLength"):
        values += ["x" * (schema[name] + by) for by in (0, 1) if name in schema]
    for name in ("minimum", "maximum"):
        values += [schema[name] + by for by in (-1, 0, 1) if name in schema]
    return values


@pytest.mark.parametrize(("type_", "member"), [(t, m) for t, kind in FRAMES.items() for m in kind.members])
def test_a_member_is_taken_within_its_published_bounds_and_no_further(type_: str, member: Member[Any]) -> None:
    """Just within, at, and just beyond each."""
    for base in _BASES:
        for value in _at_its_bounds(Schemas().of(member.type)):
            frame = {"type": type_, **base, member.name: value}
            taken = not isinstance(parse_frame(json.dumps(frame)), Refusal)
            assert taken == _validator(type_).is_valid(frame), frame
