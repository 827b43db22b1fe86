"""Tools: the programs that judge the files of a deployment.

Owns where they are found. Those from PyPI stand beside this Python; kubectl comes from outside. A missing one
skips the test, and says what to install.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_RUN_S = 50


def tool(*names: str, remedy: str) -> str:
    """Return the path of the first of these programs that is there."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    for name in names:
        if (found := shutil.which(name, path=path)) is not None:
            return found
    pytest.skip(f"{' and '.join(names)} not found: {remedy}")


def output(*argv: str, env: dict[str, str] | None = None) -> str:
    """Run a program from the repository's root; return what it printed. Its failure is the test's, in its own words."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANDON_", "OPENAI_"))}
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=_RUN_S, check=False, env={**kept, **(env or {})}
    )
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout
