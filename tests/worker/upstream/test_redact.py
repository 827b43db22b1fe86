import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstream.redact import BLACKED, MESSAGE_LIMIT_CHARS, redactor

SECRET = "local-secret-value"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-abcdefgh12345678.",
        "Incorrect API key provided: sk-proj-**********wxyz.",
        "header was Authorization: Bearer abc.def-ghi",
        "bearer ABCDEF==",
        "gsk_0123456789abcdef",
        f"you sent {SECRET}",
    ],
)
def test_keys_are_blacked_out(text: str) -> None:
    """Known secrets, and what has the shape of one."""
    shown = redactor([SECRET])(text)
    assert BLACKED in shown
    for leak in ("abcdefgh", "wxyz", "abc.def", "ABCDEF", "0123456789", SECRET):
        assert leak not in shown


def test_ordinary_words_stay() -> None:
    """Also where a short placeholder serves as the key."""
    text = "The model none does not exist; ask-me-later or risk-free."
    assert redactor(["none", ""])(text) == text


def test_a_long_text_is_cut() -> None:
    """A page of HTML does not reach a client."""
    assert len(redactor()("x" * 10_000)) == MESSAGE_LIMIT_CHARS


@given(before=st.integers(0, 600), after=st.text(max_size=20))
def test_a_secret_is_not_seen_wherever_the_cut_falls(before: int, after: str) -> None:
    """Blacked out first, cut second."""
    shown = redactor([SECRET])("x" * before + SECRET + after)
    assert SECRET[:6] not in shown
