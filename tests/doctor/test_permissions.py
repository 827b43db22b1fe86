"""The list of rights is that of the sources: a command that comes to be used comes to be asked for."""

import re
from pathlib import Path

from andon.doctor.checks import permissions

ROOT = Path(__file__).parents[2]
_IN_SCRIPTS = re.compile(r"redis\.p?call\('([A-Z]+)'")
_IN_CODE = re.compile(r"""(?:\bcall(?:_each)?\(|everywhere\(|\(|command = \(|^)\s*"([A-Z]{3,})",""", re.MULTILINE)
# What the doctor itself and embedded servers use, and words that are no commands.
_NOT_OURS = {
    "GROUP",
    "COUNT",
    "CREATE",
    "HEAD",
    "GET",
    "POST",
    "DELETE",
    "PUT",
    "PATCH",
    "OPTIONS",
    "SENTINEL",
    "NOGROUP",
    "READONLY",
    "TRYAGAIN",
}
# Called with two words, or only where there are several servers.
_KNOWN = {
    "CLUSTER",
    "ROLE",
    "ASKING",
    "SCRIPT",
    "XGROUP",
    "XREADGROUP",
    "EVAL",
    "EVALSHA",
    "WAIT",
    "INFO",
    "PING",
    "TIME",
    "MULTI",
    "EXEC",
}


def used() -> set[str]:
    """Find every command that scripts and processes use."""
    found: set[str] = set()
    for script in (ROOT / "andon" / "scripts").glob("*.lua"):
        found |= set(_IN_SCRIPTS.findall(script.read_text(encoding="utf-8")))
    for package in ("andon", "gateway", "worker"):
        for source in (ROOT / package).rglob("*.py"):
            if not {"command", "sim", "doctor", "contract"} & set(source.relative_to(ROOT).parts):
                found |= set(_IN_CODE.findall(source.read_text(encoding="utf-8")))
    return found - _NOT_OURS


def test_every_command_that_is_used_is_asked_for() -> None:
    """In scripts and in code; channels, too."""
    asked = {*permissions.KEYED, *permissions.CHANNELS, *permissions.SHARDED, *_KNOWN}
    assert used() - asked == set()


def test_nothing_is_asked_for_that_nobody_uses() -> None:
    """A right that is not needed is one that should not be given."""
    told = {name for name in permissions.KEYED if name != "GET"}
    assert told - used() == set()
