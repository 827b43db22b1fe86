"""Script: a Lua file, its text and its digest.

Owns how a `.lua` file is read: a line `--@include NAME` is replaced by that fragment, so that what two scripts share
is written once. Guarantees nothing about Redis; `andon.database` runs scripts.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

_INCLUDE: Final = re.compile(r"^--@include (\w+)$", re.MULTILINE)
NAMES: Final = (
    "submit", "promote", "claim", "append", "stop", "settle", "requeue", "expire", "look", "ack",
    "renew", "bury", "unindex", "shipped", "slice", "admit", "give_back", "seat", "stay",
    "broadcast", "tend",
)  # fmt: skip


class Script(msgspec.Struct, frozen=True):
    """One script as Redis gets it."""

    name: str
    text: str
    sha: str

    def without_flags(self) -> str:
        """Return the text without its first line: fakeredis cannot load a shebang."""
        return self.text.split("\n", 1)[1]


def _read(name: str) -> str:
    text = files("andon").joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: _read(match[1]), text)


@cache
def script(name: str) -> Script:
    """Read one script by its name."""
    text = _read(name)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def all_scripts() -> tuple[Script, ...]:
    """Read all scripts, in the order of a job's life."""
    return tuple(script(name) for name in NAMES)
