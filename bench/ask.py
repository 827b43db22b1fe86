"""Ask: what the bench wants of the model server, as words within a prompt; and the mark that every token carries.

Owns both notations, and nothing else. Every contender passes the prompt on to the model as it is, so the words reach
the bench's model server by whatever way; every contender passes the model's text on to the client, so the marks reach
the load generator, in as many frames as it likes: tokens are counted by their marks, not by frames.

A token's text is `~` and nine hexadecimal digits: microseconds of CLOCK_MONOTONIC, modulo 2**36, of the instant at
which the model server wrote it. Nothing in it needs an escape in JSON.
"""

import re
import time
from dataclasses import dataclass
from typing import Final, Self

MARK: Final = b"~"
_DIGITS: Final = 9
_WRAP: Final = 1 << (4 * _DIGITS)
_ASK: Final = re.compile(rb"bench/([0-9A-Za-z_-]+)/([0-9.]+)/([0-9]+)/([0-9.]+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. `key` names it in the model server's records: letters, digits, `_` and `-`."""

    key: str
    # Tokens a second; 0: all at once.
    rate: float = 50.0
    # Tokens in all. With none the model sends its headers and opening events, and then nothing, for ever.
    tokens: int = 100
    # Milliseconds from the request to the first token.
    delay_ms: float = 0.0

    @property
    def prompt(self) -> str:
        """The words for the model server."""
        return f"bench/{self.key}/{self.rate:g}/{self.tokens}/{self.delay_ms:.1f}/"

    @classmethod
    def found_in(cls, body: bytes) -> Self | None:
        """Find the words in a request's body; None where there are none."""
        # The last one: a contender may send earlier turns of the conversation ahead of it.
        for found in reversed(_ASK.findall(body)):
            key, rate, tokens, delay_ms = found
            return cls(key=key.decode(), rate=float(rate), tokens=int(tokens), delay_ms=float(delay_ms))
        return None


def now_us() -> int:
    """Tell the time as marks do: CLOCK_MONOTONIC is one for all processes of a machine."""
    return time.monotonic_ns() // 1000


def mark(at_us: int) -> bytes:
    """Return the text of a token written at `at_us`."""
    return b"~%09x" % (at_us % _WRAP)


def count_marks(frame: bytes) -> int:
    """Count the tokens in a frame that carries text deltas."""
    return frame.count(MARK)


def first_age_us(frame: bytes, at_us: int) -> int:
    """Tell how old the first token of a frame is at `at_us`; -1 where it has none."""
    start = frame.find(MARK) + 1
    if start == 0:
        return -1
    return (at_us - int(frame[start : start + _DIGITS], 16)) % _WRAP
