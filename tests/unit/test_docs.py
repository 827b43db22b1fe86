"""The pages that repeat the code's tables say what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_and_the_contracts_are_what_the_code_says() -> None:
    """Settings, close codes, causes, keys, frames, endpoints are written once, in code; the files are made from it."""
    check = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, check=False)
    assert check.returncode == 0, check.stderr.decode()


def test_every_promise_names_tests_that_exist() -> None:
    """ARCHITECTURE.md says which test holds which promise; a test that moved is found here."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {word.strip("`,;.|()") for word in text.split() if word.strip("`,;.|()").startswith("tests/")}
    missing = [name for name in named if not (ROOT / name.split("::")[0]).exists()]
    assert missing == []
