import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.ids import (
    Principal,
    SessionName,
    as_response_id,
    new_gateway_id,
    new_response_id,
    new_session_name,
    new_socket_id,
    new_worker_id,
    session_tag,
    tag_of,
)

triples = st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


@given(triples, triples)
def test_two_sessions_share_a_tag_only_if_they_are_one(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Tenant, subject and session name together make the tag: none of them can stand in for a part of another."""
    tags = [session_tag(Principal(tenant, subject), SessionName(name)) for tenant, subject, name in (one, other)]
    assert (tags[0] == tags[1]) == (one == other)


@given(st.text(min_size=1, max_size=9), st.integers(min_value=0, max_value=9))
def test_moving_a_character_between_the_parts_makes_another_session(text: str, cut: int) -> None:
    """Parts go in with their lengths: `ab`+`c` is not `a`+`bc`."""
    cut = min(cut, len(text) - 1)
    left = session_tag(Principal(text[:cut], text[cut:]), SessionName("s"))
    assert left != session_tag(Principal(text[: cut + 1], text[cut + 1 :]), SessionName("s"))


@given(triples)
def test_a_response_id_leads_back_to_its_sessions_tag(triple: tuple[str, str, str]) -> None:
    """The id alone finds the slot, and has the shape that is accepted from clients."""
    tag = session_tag(Principal(triple[0], triple[1]), SessionName(triple[2]))
    response_id = new_response_id(tag)
    assert tag_of(response_id) == tag
    assert as_response_id(response_id) == response_id


@given(st.text(max_size=60))
def test_foreign_text_is_no_response_id(text: str) -> None:
    """What Andon did not make is not looked up."""
    assert as_response_id(text) is None


def test_near_misses_are_no_response_ids() -> None:
    """Case, length, line ends and alphabet all count."""
    good = new_response_id(session_tag(Principal("t", "s"), SessionName("n")))
    for bad in (good + "\n", good[:-1], good + "a", good.upper(), good.replace("resp_", "rasp_"), good[:-1] + "1", ""):
        assert as_response_id(bad) is None


def test_made_up_names_are_not_made_twice() -> None:
    """Random ids of 80 bits: no two alike, each with the prefix that says what it names."""
    for make, prefix in (
        (new_session_name, "sess_"),
        (new_worker_id, "w_"),
        (new_gateway_id, "g_"),
        (new_socket_id, "s_"),
    ):
        made = {make() for _ in range(1000)}
        assert len(made) == 1000
        assert all(name.startswith(prefix) and len(name) == len(prefix) + 16 for name in made)


@given(st.binary(min_size=10, max_size=10))
def test_what_is_made_of_random_bytes_is_their_base32(data: bytes) -> None:
    """By a table of its own, at a fraction of the time: the same characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("andon.ids.os.urandom", lambda _: data)
        made = new_session_name()
    assert made == "sess_" + base64.b32encode(data).decode().lower()
