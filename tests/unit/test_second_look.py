"""What a whole run's outcome is when a test fails beside others."""

from pathlib import Path

import pytest

from tests.second_look import MOST_LOOKED_AT_AGAIN, run

# Fails the first time it is run in this directory, as one that another tenant starved.
_UNSTEADY = """
from pathlib import Path
def test_unsteady():
    ran = Path(__file__).with_suffix(".ran")
    assert ran.exists() or ran.touch()
"""


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this suite's own configuration is needed within."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def _project(root: Path, **files: str) -> Path:
    (root / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        (root / f"test_{name}.py").write_text(text)
    return root


def test_a_suite_that_passes_is_run_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing failed, nothing is looked at again."""
    assert run([], root=_project(tmp_path, fine="def test_fine(): pass")) == pytest.ExitCode.OK
    assert "second look" not in capfd.readouterr().out


def test_a_test_that_passes_alone_is_named_unsteady(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It does not fail the run, and it is not hidden: its first failure and its name are told."""
    assert run([], root=_project(tmp_path, a=_UNSTEADY, b="def test_b(): pass")) == pytest.ExitCode.OK
    told = capfd.readouterr().out
    assert "FAILED test_a.py::test_unsteady" in told
    assert "UNSTEADY, failed beside others and passed alone: test_a.py::test_unsteady" in told


def test_a_test_that_fails_again_fails_the_run(tmp_path: Path) -> None:
    """A second look is no pardon."""
    files = {"a": _UNSTEADY, "b": "def test_broken(): assert False"}
    assert run([], root=_project(tmp_path, **files)) == pytest.ExitCode.TESTS_FAILED


def test_many_failures_get_no_second_look(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """They are no bad luck."""
    many = {f"n{at}": _UNSTEADY for at in range(MOST_LOOKED_AT_AGAIN + 1)}
    assert run([], root=_project(tmp_path, **many)) == pytest.ExitCode.TESTS_FAILED
    assert "get no second look" in capfd.readouterr().out


def test_what_is_no_failure_of_a_test_gets_no_second_look(tmp_path: Path) -> None:
    """A suite that can't be collected, or a wrong argument, is what it is."""
    root = _project(tmp_path, a="import nothing_of_this_name")
    assert run([], root=root) == pytest.ExitCode.INTERRUPTED
    assert run(["--no-such-option"], root=root) == pytest.ExitCode.USAGE_ERROR
