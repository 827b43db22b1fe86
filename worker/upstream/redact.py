"""Redaction: what an upstream says, fit to be shown to a client.

Owns the bound on, and the blacking-out of, text that was written elsewhere. Guarantees that a known secret, and
anything of the shape of a key or a bearer token, is not in the result. Does not guess at secrets of other shapes.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

MESSAGE_LIMIT_CHARS = 500  # enough for any explanation; a page of HTML is none
BLACKED = "[redacted]"

# A secret shorter than this ("x", "none": what servers without keys are given) would black out ordinary words.
_SECRET_MIN_CHARS = 6

_KEY_LIKE = re.compile(
    r"\b(?:bearer|basic)\s+[\w\-.~+/=*]{4,}"  # an Authorization header's value (RFC 6750 token68)
    r"|\b(?:sk|pk|rk|sess|gsk|xai|hf|nvapi|r8)[-_][\w\-*.]{4,}"  # vendors' key prefixes, also half masked by stars
    r"|\bAIza[\w\-]{10,}",
    re.IGNORECASE,
)

Redact: TypeAlias = Callable[[str], str]


def redactor(secrets: Iterable[str] = ()) -> Redact:
    """Return a function that blacks out `secrets` and key-like words, then cuts to `MESSAGE_LIMIT_CHARS`."""
    known = sorted({secret for secret in secrets if len(secret) >= _SECRET_MIN_CHARS}, key=len, reverse=True)

    def redact(text: str) -> str:
        # Black out before cutting: a key cut in half would no longer be known.
        for secret in known:
            text = text.replace(secret, BLACKED)
        text = _KEY_LIKE.sub(BLACKED, text)
        return text if len(text) <= MESSAGE_LIMIT_CHARS else text[: MESSAGE_LIMIT_CHARS - 1] + "…"

    return redact
