"""Environment: whether the settings can be read, every one of them.

Owns the looking at each `ANDON_*` variable by itself, so that one bad one hides no other. Guarantees: what is returned
are the settings as far as they are good; a process with these variables would not start.
"""

from collections.abc import Mapping
from typing import Final

from andon.doctor.finding import Finding, fail, ok
from andon.errors import StartError
from andon.settings import Settings, load_settings

NAME: Final = "settings"
ASKS: Final = "Is every `ANDON_*` variable known, and its value good?"
_PREFIX: Final = "ANDON_"


def read(environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """Read the settings without those that are bad, and say which are."""
    good: dict[str, str] = {}
    found: list[Finding] = []
    for name, value in environ.items():
        if not name.upper().startswith(_PREFIX):
            continue
        try:
            load_settings({name: value})
        except StartError as error:
            found.append(fail(str(error), _remedy(name, str(error))))
        else:
            good[name] = value
    if not found:
        found.append(ok(f"{len(good)} set, all of them known" if good else "none is set: all defaults"))
    return load_settings(good), found


def _remedy(name: str, told: str) -> str:
    if told.startswith("unknown setting"):
        return f"rename or remove {name}: a process with it does not start"
    return f"mend {name} (docs/reference.md has its bounds): a process with it does not start"
