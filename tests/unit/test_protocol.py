import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.responses import ResponseSteerFailedEvent

from andon.answers import cancel_accepted, cancel_failed, steer_failed
from andon.errors import NotFoundError
from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from andon.protocol import Cancel, Create, Ping, Refresh, Refusal, Retrieve, Steer, parse_cancel, parse_frame
from andon.replies import StopOutcome, StopReceipt

RID = new_response_id(session_tag(ANONYMOUS, SessionName("s")))

# JSON has no word for NaN and infinities.
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
types = st.sampled_from(
    ["response.create", "response.cancel", "response.retrieve", "auth.refresh", "ping", "response.steer"]
)
members = st.sampled_from(
    ["model", "input", "instructions", "tools", "metadata", "response_id", "stream_id", "starting_after", "reason",
     "event_id", "token", "temperature", "max_output_tokens", "background", "generate", "previous_response_id", "store",
     "abandon_s", "deadline_s"]
)  # fmt: skip
events = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    types | json_values,
    st.dictionaries(members, json_values | st.just(RID), max_size=8),
)


@given(st.binary(max_size=200) | st.text(max_size=200))
@example(b'{"type":"ping","event_id":"\xff"}')
@example("[" * 100_000)
@example('{"type":"ping","a":' + "9" * 5000 + "}")
def test_no_frame_whatever_raises(frame: str | bytes) -> None:
    """Nothing a client sends is an exception here."""
    assert isinstance(parse_frame(frame), Create | Cancel | Retrieve | Refresh | Ping | Steer | Refusal)


@given(events)
def test_any_json_is_a_command_or_a_refusal_that_names_field_and_remedy(event: dict[str, Any]) -> None:
    """A readable `event_id` is repeated on either, and a refusal is never without words."""
    answer = parse_frame(json.dumps(event))
    assert isinstance(answer, Create | Cancel | Retrieve | Refresh | Ping | Steer | Refusal)
    if isinstance(answer, Refusal):
        assert answer.error.code
        assert answer.error.message
        if answer.stream_id is not None:
            assert (event["type"], event["stream_id"]) == ("response.create", answer.stream_id)
    event_id = event.get("event_id")
    if isinstance(event_id, str):
        assert answer.event_id == event_id


def refusal(**event: Any) -> Refusal:
    """Parse a frame that must be refused."""
    answer = parse_frame(json.dumps(event))
    assert isinstance(answer, Refusal), answer
    return answer


def test_a_create_is_its_body_without_the_sockets_members() -> None:
    """What the model server does not know does not reach it; what Andon does not know passes as it is."""
    frame = {
        "type": "response.create", "event_id": "e", "stream_id": "a.b-c_1", "model": "m", "input": "hi", "x": {"y": 1},
    }  # fmt: skip
    assert parse_frame(json.dumps(frame)) == Create({"model": "m", "input": "hi", "x": {"y": 1}}, "a.b-c_1", "e")


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"input": "x"}, "model", "missing_required_parameter"),
        ({"model": "", "input": "x"}, "model", "invalid_type"),
        ({"model": 3, "input": "x"}, "model", "invalid_type"),
        ({"model": "m"}, "input", "missing_required_parameter"),
        ({"model": "m", "input": []}, "input", "missing_required_parameter"),
        ({"model": "m", "input": 7}, "input", "invalid_type"),
        ({"model": "m", "input": ["x"]}, "input[0]", "invalid_type"),
        ({"model": "m", "input": "x", "tools": {}}, "tools", "invalid_type"),
        ({"model": "m", "input": "x", "temperature": "hot"}, "temperature", "invalid_type"),
        ({"model": "m", "input": "x", "max_output_tokens": 0}, "max_output_tokens", "invalid_type"),
        ({"model": "m", "input": "x", "metadata": {"a": 1}}, "metadata[...]", "invalid_type"),
        ({"model": "m", "input": "x", "background": True}, "background", "unsupported_parameter"),
        ({"model": "m", "input": "x", "generate": False}, "generate", "unsupported_parameter"),
        ({"model": "m", "input": "x", "stream_id": "no spaces"}, "stream_id", "invalid_stream_id"),
        ({"model": "m", "input": "x", "stream_id": ""}, "stream_id", "invalid_stream_id"),
        ({"model": "m", "input": "x", "stream_id": "a" * 257}, "stream_id", "invalid_stream_id"),
        ({"model": "m", "input": "x", "stream_id": "a\n"}, "stream_id", "invalid_stream_id"),
        ({"model": "m", "input": "x", "event_id": 5}, "event_id", "invalid_type"),
        ({"model": "m", "input": "x", "event_id": "e" * 513}, "event_id", "invalid_type"),
    ],
)
def test_a_bad_create_names_its_field(members: dict[str, Any], param: str, code: str) -> None:
    """The client learns which member to mend."""
    error = refusal(type="response.create", **members).error
    assert (error.param, error.code) == (param, code)


def test_only_a_refused_create_of_a_good_lane_names_the_lane() -> None:
    """On a named lane the SDK takes any error for that response's end."""
    assert refusal(type="response.create", stream_id="a", event_id="e").stream_id == "a"
    assert refusal(type="response.create", stream_id="a b").stream_id is None
    assert refusal(type="response.cancel", stream_id="a", response_id=RID).stream_id is None


@given(
    st.fixed_dictionaries(
        {"type": st.just("response.cancel") | types},
        optional={
            "response_id": st.just(RID) | st.just(RID + "\n") | json_values,
            "event_id": st.text(max_size=600) | json_values,
            "reason": st.text(max_size=5),
            "stream_id": st.just("a"),
            "other": json_values,
        },
    )
)
@example({"type": "response.cancel", "response_id": RID})
@example({"type": "response.cancel", "response_id": RID, "event_id": "e" * 513})
def test_the_short_way_for_a_stop_reads_what_the_long_one_does(frame: dict[str, Any]) -> None:
    """Or nothing at all: then the long one says what it is."""
    text = json.dumps(frame).encode()
    assert parse_cancel(text) in (None, parse_frame(text))


def test_the_short_way_is_taken_for_the_stop_of_one_response() -> None:
    """In whatever order, and with its event id."""
    assert parse_cancel(b'{"type":"response.cancel","response_id":"%b"}' % RID.encode()) == Cancel(
        RID, None, None, None
    )
    said = json.dumps({"event_id": "e", "response_id": RID, "type": "response.cancel"}).encode()
    assert parse_cancel(said) == Cancel(RID, None, None, "e")
    assert parse_cancel(b'{"type":"ping"}') is None


def test_a_cancel_addresses_a_response_a_lane_or_the_session() -> None:
    """One of three, never two at once."""
    assert parse_frame(json.dumps({"type": "response.cancel", "response_id": RID, "reason": "r"})) == Cancel(
        RID, None, "r", None
    )
    assert parse_frame('{"type":"response.cancel","stream_id":"a","event_id":"e"}') == Cancel(None, "a", None, "e")
    assert parse_frame('{"type":"response.cancel"}') == Cancel(None, None, None, None)
    assert refusal(type="response.cancel", response_id=RID, stream_id="a").error.param == "stream_id"
    assert refusal(type="response.cancel", reason="x" * 1025).error.param == "reason"
    assert refusal(type="response.cancel", response_id=5).error.param == "response_id"


def test_an_id_that_cannot_be_ours_is_not_found() -> None:
    """Unknown, expired and foreign look alike."""
    for kind in ("response.cancel", "response.retrieve"):
        error = refusal(type=kind, response_id="resp_nope", event_id="e").error
        assert isinstance(error, NotFoundError)
        assert error.code == "response_not_found"


@pytest.mark.parametrize(("given_", "after"), [(None, -1), (-1, -1), (0, 0), (41, 41), (2**53 - 1, 2**53 - 1)])
def test_a_retrieve_starts_after_a_number(given_: int | None, after: int) -> None:
    """Without a number it starts from the first event."""
    frame = {"type": "response.retrieve", "response_id": RID, "starting_after": given_}
    assert parse_frame(json.dumps(frame)) == Retrieve(RID, after, None)


@pytest.mark.parametrize("bad", [True, -2, 1.5, "3", 2**53, [], 10**400])
def test_a_retrieve_from_no_number_is_refused(bad: Any) -> None:
    """A wrong number is not taken for the beginning."""
    assert refusal(type="response.retrieve", response_id=RID, starting_after=bad).error.param == "starting_after"
    assert refusal(type="response.retrieve", starting_after=3).error.param == "response_id"


def test_a_retrieve_without_an_id_is_for_all_that_is_live() -> None:
    """Reconnecting, a client need not know what is live."""
    assert parse_frame('{"type":"response.retrieve","event_id":"e"}') == Retrieve(None, -1, "e")


def test_unknown_types_are_told_the_known_ones() -> None:
    """The remedy is in the message, and a long type is not thrown back whole."""
    error = refusal(type="x" * 1000, event_id="e").error
    assert (error.code, error.param) == ("unknown_type", "type")
    assert "response.create" in error.message
    assert len(error.message) < 300
    assert refusal(event_id="e").error.param == "type"
    assert refusal(event_id="e").event_id == "e"


def test_what_is_answered_repeats_the_event_id() -> None:
    """Cancel answers are no `error` events: those would end an SDK's lane."""
    receipt = StopReceipt(RID, StopOutcome.RECORDED, recorded=1.5, replicated=False, acked=2.0)
    assert cancel_accepted([receipt], "e") == {
        "type": "response.cancel.accepted",
        "event_id": "e",
        "stops": [
            {
                "response_id": RID,
                "recorded": 1.5,
                "replicated": False,
                "acked": 2.0,
                "upstream_closed": None,
                "settled": None,
            }
        ],
    }
    failed = cancel_failed("already_ended", "m", None)
    assert (failed["type"], failed["code"], "event_id" in failed) == ("response.cancel.failed", "already_ended", False)


def test_a_steer_is_refused_in_the_sdks_own_words() -> None:
    """`response.steer.failed` returns the input, as the SDK's type demands."""
    steer = parse_frame('{"type":"response.steer","previous_response_id":"p","input":"go on","event_id":"e"}')
    assert isinstance(steer, Steer)
    answer = steer_failed(steer)
    assert answer["error"]["code"] == "steering_not_supported"
    assert (answer["steer"]["input"], answer["event_id"]) == ("go on", "e")
    ResponseSteerFailedEvent.model_validate(answer)


@pytest.mark.parametrize("token", [None, 7, "", "x" * 20_000])
def test_a_refresh_without_a_usable_token_is_refused(token: object) -> None:
    """By name, and without repeating what was sent."""
    refusal = parse_frame(json.dumps({"type": "auth.refresh", "token": token, "event_id": "e"}))
    assert isinstance(refusal, Refusal)
    assert (refusal.error.param, refusal.event_id) == ("token", "e")
    assert "xxx" not in refusal.error.message


def test_a_refresh_never_shows_its_token() -> None:
    """Neither itself nor within what holds it."""
    refresh = parse_frame('{"type": "auth.refresh", "token": "s3cret", "event_id": "e"}')
    assert isinstance(refresh, Refresh)
    assert refresh.token.get_secret_value() == "s3cret"
    assert "s3cret" not in f"{refresh} {refresh!r} {[refresh]}"
