"""Frames: what is said on a socket that nobody should say, and what is nearly right.

Owns the strategies. `$rid` in a frame stands for a response of the session that is live when the conversation begins.
"""

import json
from typing import Any, Final, Literal

import msgspec
from hypothesis import strategies as st

from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from andon.protocol import FRAMES

How = Literal["text", "binary", "fragments", "raw_text"]
_UNKNOWN: Final = new_response_id(session_tag(ANONYMOUS, SessionName("nobody")))
# An answer of a moment, whatever is asked.
CHEAP: Final = {"sim_tokens": "4", "sim_rate": "0", "sim_ttft": "0"}
_LONGER: Final = {"sim_tokens": "60", "sim_rate": "200", "sim_ttft": "0"}
LARGEST_FRAME_BYTES: Final = 4 * 1024 * 1024


class Said(msgspec.Struct, frozen=True):
    """One frame, and how it goes out."""

    payload: str | bytes
    how: How = "text"


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-3, 30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["$rid", _UNKNOWN, "resp_", "sim", "lane", "a b", "\0", "\u2028", "x" * 2000, "é" * 300, ""])
)
VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_NAMES = st.sampled_from(
    ["type", "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "previous_response_id",
     "metadata", "max_output_tokens", "temperature", "top_p", "reasoning", "text", "truncation", "user", "store",
     "stream", "background", "generate", "include", "stream_options", "prompt", "event_id", "stream_id", "response_id",
     "starting_after", "reason", "abandon_s", "service_tier", "top_logprobs", "constructor", "", "$ref"]
)  # fmt: skip
_ABSENT: Final = object()

_RIGHT: Final[list[dict[str, Any]]] = [
    {"type": "response.create", "model": "sim", "input": "hi", "metadata": CHEAP},
    {"type": "response.create", "model": "sim", "input": "hi", "metadata": _LONGER, "stream_id": "lane"},
    {"type": "response.create", "model": "sim", "input": "hi", "metadata": CHEAP, "event_id": "same"},
    {"type": "response.create", "model": "sim-404", "input": [{"role": "user", "content": "hi"}], "metadata": CHEAP},
    {"type": "response.create", "model": "sim", "input": "on", "previous_response_id": "$rid", "metadata": CHEAP},
    {"type": "response.cancel"},
    {"type": "response.cancel", "response_id": "$rid", "reason": "fuzz"},
    {"type": "response.cancel", "stream_id": "lane"},
    {"type": "response.retrieve"},
    {"type": "response.retrieve", "response_id": "$rid", "starting_after": 1},
    {"type": "response.retrieve", "response_id": _UNKNOWN},
    {"type": "ping"},
    {"type": "response.steer", "previous_response_id": "$rid", "input": "faster"},
]
_CHANGES = st.dictionaries(_NAMES, VALUES | st.just(_ABSENT), max_size=3)


def _changed(right: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**right, **changes}.items() if value is not _ABSENT}


EVENTS = st.builds(_changed, st.sampled_from(_RIGHT), _CHANGES)
_ANY_EVENTS = st.builds(
    lambda type_, changes: {**_changed({}, changes), "type": type_}, st.sampled_from(sorted(FRAMES)) | VALUES, _CHANGES
)
_TEXTS = (EVENTS | _ANY_EVENTS).map(json.dumps)
# With characters as they are instead of escapes, and what JSON has no word for.
_LOOSE_TEXTS = (EVENTS | _ANY_EVENTS).map(lambda event: json.dumps(event, ensure_ascii=False))
_CUT = st.builds(lambda text, at: text[: at % (len(text) + 1)], _TEXTS, st.integers(0, 300))
_ODD: Final = [
    "", " ", "\ufeff{}", "null", "[]", "{}", '"ping"', "NaN", '{"type":NaN}', '{"type":"ping","type":"ping"}',
    '{"type":"ping","event_id":"\\ud800"}', '{"type":"response.create","model":"\\udfff","input":"x"}',
    '{"type":"response.cancel","stream_id":"lane\\n"}', '{"type":"response.retrieve","response_id":"$rid\\n"}',
    "[" * 1000, "[" * 100_000, '{"a":' * 5000, '{"type":"ping","n":' + "9" * 5000 + "}",
    '{"type":"response.create","model":"sim","input":"x","temperature":1e999}', '{"type":"ping"}' + " " * 70_000,
    '{"type":"ping"}{"type":"ping"}', "{'type':'ping'}",
]  # fmt: skip
_WORDS = st.text(max_size=40) | st.sampled_from(_ODD) | _CUT | VALUES.map(json.dumps)

STEPS = st.one_of(
    st.builds(Said, _TEXTS),
    st.builds(Said, _TEXTS),
    st.builds(Said, _LOOSE_TEXTS.filter(lambda text: text.isprintable())),
    st.builds(Said, _WORDS),
    st.builds(Said, _TEXTS | _WORDS, st.just("fragments")),
    st.builds(Said, st.binary(max_size=60) | _TEXTS.map(str.encode), st.just("binary")),
)
# These end the socket, so that a conversation has at most one, at its end: no UTF-8, and too large.
LAST_STEPS = st.one_of(
    st.builds(Said, st.binary(max_size=20).map(lambda more: b'{"type":"\xff' + more), st.just("raw_text")),
    st.just(Said(" " * (LARGEST_FRAME_BYTES + 1))),
)
