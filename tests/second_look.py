"""The whole suite, and a second look at the few tests that failed: alone, with the machine to themselves.

Owns what the outcome of a whole run is. A few hundred tests here start processes and wait for deadlines of theirs; on
a shared machine another tenant can starve one of 2,600. Such a test is run once more after all others, alone. Both
runs are told in full, and a test that passes only then is named as unsteady, to be looked into: it is not hidden, and
it is not a reason to run everything again. More than a few failures are no bad luck, and get no second look.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

MOST_LOOKED_AT_AGAIN: Final = 3
_LAST_FAILED: Final = Path(".pytest_cache/v/cache/lastfailed")


def run(arguments: Sequence[str], *, root: Path) -> int:
    """Run pytest with these arguments in `root`, perhaps twice; return its exit code."""
    last = root / _LAST_FAILED
    last.unlink(missing_ok=True)
    code = _pytest(arguments, root)
    if code != pytest.ExitCode.TESTS_FAILED or not last.exists():
        return code
    failed = sorted(json.loads(last.read_text()))
    if len(failed) > MOST_LOOKED_AT_AGAIN:
        _tell(f"{len(failed)} tests failed: more than {MOST_LOOKED_AT_AGAIN} get no second look")
        return code
    _tell("a second look, alone, at: " + ", ".join(failed))
    again = _pytest(failed, root)
    if again == pytest.ExitCode.OK:
        _tell("UNSTEADY, failed beside others and passed alone: " + ", ".join(failed))
    return again


def _pytest(arguments: Sequence[str], root: Path) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=root, check=False).returncode


def _tell(what: str) -> None:
    sys.stdout.write(f"\n==> {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], root=Path.cwd()))
