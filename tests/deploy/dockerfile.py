"""Dockerfile: its stages and their instructions, parsed.

Owns the reading of the form that this Dockerfile has: commands in exec form only. A command in shell form fails here,
for it would need a shell.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .tools import ROOT

_EXEC = {"RUN", "CMD", "ENTRYPOINT"}


@dataclass(slots=True)
class Stage:
    """One stage: what it is made from, and its instructions in their order."""

    name: str
    base: str
    # Name and value; the value of a command is its list of words.
    instructions: list[tuple[str, Any]] = field(default_factory=list)

    def all(self, name: str) -> list[Any]:
        """Return the values of all instructions of a name."""
        return [value for key, value in self.instructions if key == name]

    def last(self, name: str) -> Any:
        """Return the value of the last instruction of a name: the one that counts."""
        return self.all(name)[-1]


def stages() -> dict[str, Stage]:
    """Return the stages by name, in their order."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in text.replace("\\\n", " ").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "FROM":
            base, _, stage_name = value.partition(" AS ")
            stage = found[stage_name] = Stage(stage_name, base)
        elif name:
            assert stage is not None, f"{name} before the first FROM"
            stage.instructions.append((name, json.loads(value) if name in _EXEC else value))
    return found
