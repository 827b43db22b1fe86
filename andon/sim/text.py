"""The sim's text: pure functions from a seed to words, the same on every machine and Python.

Owns what is said and how it falls into tokens. Does not own how much of it is sent, nor when.

Guarantees: `tokens(seed, n)[:m] == tokens(seed, m)`, so a test that knows the prompt and the number of tokens knows
the text; a token is one word with its leading space; the text needs no escaping in JSON.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice

_WORD = 0xFFFF_FFFF_FFFF_FFFF  # arithmetic is modulo 2^64
_FAT_TOKEN_BYTES = 10 * 1024

# Sixteen of each, so that four bits choose one.
_WHEN = tuple(
    tuple(f" {word}" for word in phrase.split())
    for phrase in (
        "", "", "", "", "", "", "Then", "Meanwhile", "At dawn", "By noon", "After the bell", "Now and then",
        "Without a sound", "On most days", "Before the break", "In the end",
    )
)  # fmt: skip
_WHO = tuple(
    tuple(f" {word}" for word in phrase.split())
    for phrase in (
        "the operator", "a careful worker", "the night shift", "the foreman", "an apprentice", "the inspector",
        "a visitor", "the team leader", "the old machinist", "a passing engineer", "the night guard", "the welder",
        "a new hire", "the crane driver", "the clerk", "the whole crew",
    )
)  # fmt: skip
_DOES = tuple(
    tuple(f" {word}" for word in phrase.split())
    for phrase in (
        "pulls the cord", "watches the line", "counts the parts", "tightens a bolt", "checks the gauge",
        "stops the belt", "lights the lamp", "writes a note", "oils the chain", "lifts the frame",
        "measures the gap", "clears the tray", "reads the board", "calls for help", "marks the fault",
        "starts the motor",
    )
)  # fmt: skip
_WHERE = tuple(
    tuple(f" {word}" for word in phrase.split())
    for phrase in (
        "at the third station.", "near the press.", "under the bright lamp.", "before the next car.",
        "beside the long belt.", "with steady hands.", "at the far end.", "and nobody is surprised.",
        "while the others wait.", "without a word.", "as the book demands.", "and the line goes on.",
        "behind the yellow line.", "until the light is green.", "in the last bay.", "for a good reason.",
    )
)  # fmt: skip
# Every one holds a character of two to four bytes; one is a cluster of several, joined.
_WIDE = (
    " héllo", " naïve", " Größe", " Ωμέγα", " привет", " नमस्ते", " 世界", " 日本語", " 한국어", " שלום",
    " مرحبا", " 🚀", " 🧵🪢", " 👩‍👩‍👧", " 🇫🇷", " €5",
)  # fmt: skip


def seed_of(prompt: str, seed: int = 0) -> int:
    """Mix a prompt and a server's seed into the seed of the answer's text."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=8).digest())


def tokens(seed: int, n: int) -> Sequence[str]:
    """Give the first `n` tokens of the seed's endless text, each a word with its leading space."""
    return tuple(islice(_words(seed), n))


def text(seed: int, n: int) -> str:
    """Give the first `n` tokens of the seed's text in one string."""
    return "".join(tokens(seed, n))


def wide_tokens(seed: int, n: int) -> Sequence[str]:
    """Give `n` tokens that each hold characters of several bytes, emoji among them."""
    return tuple(_WIDE[bits & 15] for bits in islice(_bits(seed), n))


def fat_tokens(seed: int, n: int) -> Sequence[str]:
    """Give `n` tokens of exactly 10 KiB each: the words of `tokens`, each repeated until it is fat."""
    return tuple((word * (_FAT_TOKEN_BYTES // len(word) + 1))[:_FAT_TOKEN_BYTES] for word in tokens(seed, n))


def _words(seed: int) -> Iterator[str]:
    for bits in _bits(seed):
        when, who = _WHEN[bits & 15], _WHO[bits >> 4 & 15]
        sentence = when + who + _DOES[bits >> 8 & 15] + _WHERE[bits >> 12 & 15]
        yield " " + sentence[0][1:2].upper() + sentence[0][2:]
        yield from sentence[1:]


def _bits(seed: int) -> Iterator[int]:
    """Run splitmix64 (Steele, Lea, Flood 2014): a fixed sequence, unlike `random`, which may change its methods."""
    state = seed & _WORD
    while True:
        state = (state + 0x9E37_79B9_7F4A_7C15) & _WORD
        z = (state ^ state >> 30) * 0xBF58_476D_1CE4_E5B9 & _WORD
        z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _WORD
        yield z ^ z >> 31
