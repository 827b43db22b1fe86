from hypothesis import given
from hypothesis import strategies as st

from andon.sim.text import fat_tokens, seed_of, text, tokens, wide_tokens

EXPECTED = " In the end a visitor counts the parts beside"

seeds = st.integers(min_value=0, max_value=2**64 - 1)
lengths = st.integers(min_value=0, max_value=300)


@given(seed=seeds, n=lengths, m=lengths)
def test_fewer_tokens_are_the_beginning_of_more(seed: int, n: int, m: int) -> None:
    """What a stopped stream has sent can be computed from the number of its tokens."""
    few, many = sorted((n, m))
    assert tokens(seed, many)[:few] == tokens(seed, few)


@given(seed=seeds, n=lengths)
def test_each_token_is_one_word_with_its_leading_space(seed: int, n: int) -> None:
    """The text splits into exactly as many words as it has tokens, and needs no escaping."""
    words = tokens(seed, n)
    assert len(words) == n
    assert all(word[0] == " " and word[1:].rstrip(".").isalpha() and word.isascii() for word in words)
    assert len(text(seed, n).split()) == n


def test_text_is_the_same_everywhere() -> None:
    """The words of a seed are part of the contract: another Python or machine gives the same."""
    assert text(seed_of("hello there"), 9) == EXPECTED
    assert text(seed_of("hello there", 1), 9) != EXPECTED
    assert text(seed_of("hello, there"), 9) != EXPECTED


def test_a_lone_surrogate_in_a_prompt_has_a_seed_too() -> None:
    """JSON may carry one; the sim must not fall over it."""
    assert seed_of("\ud800") != seed_of("\ud801")


@given(seed=seeds)
def test_wide_tokens_hold_characters_of_several_bytes(seed: int) -> None:
    """Each can be cut in the middle of a character."""
    assert all(len(token.encode()) > len(token) for token in wide_tokens(seed, 20))


def test_fat_tokens_are_ten_kibibytes() -> None:
    """A token's size is exact, so that memory can be reckoned from it."""
    assert [len(token.encode()) for token in fat_tokens(7, 3)] == [10_240] * 3
