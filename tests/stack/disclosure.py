"""Disclosure: what no log may hold, at any level.

Owns which values are secret in a process's environment, and the shapes by which a token or key is known that no test
has named. A finding never repeats what it found.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

_SECRET_NAMES: Final = ("OPENAI_API_KEY", "ANDON_JWT_SECRET", "ANDON_TOKEN")
_SHAPES: Final = {
    "a JWT": re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}"),
    "an API key": re.compile(r"andon_[\w-]{43}"),
    "an Authorization header": re.compile(r"(?i)\bbearer[ .][\w.~+/-]{8,}|\bauthorization\W{1,4}basic [\w+/=]{8,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}
_SHORTEST: Final = 6  # what is shorter is found by chance


def secrets_of(env: Mapping[str, str]) -> set[str]:
    """Return what of a process's environment must never be shown."""
    found = {env.get(name, "") for name in _SECRET_NAMES}
    redis = urlsplit(env.get("ANDON_REDIS_URL", ""))
    password = redis.password or ""
    found |= {password, unquote(password), *parse_qs(redis.query).get("password", [])}
    return {value for value in found if len(value) >= _SHORTEST}


def disclosed(text: str, secrets: Collection[str]) -> Iterator[str]:
    """Find, in words, what should not be in a text."""
    if any(secret in text for secret in secrets):
        yield "a secret that it was given"
    for what, shape in _SHAPES.items():
        if shape.search(text):
            yield what
