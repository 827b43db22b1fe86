"""Vendored files are what the page about them says."""

import hashlib
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_VENDOR = _ROOT / "gateway" / "pages" / "static" / "vendor"


def test_each_vendored_file_has_its_checksum_and_its_licence() -> None:
    """A file that was changed, added or forgotten shows."""
    page = (_ROOT / "docs" / "decisions" / "vendored.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z.]+)` .*`([0-9a-f]{64})` \|$", page, re.MULTILINE))
    files = {file.name: file for file in _VENDOR.iterdir() if file.suffix != ".LICENSE"}
    assert told == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    for name in files:
        assert (_VENDOR / name).with_suffix(".LICENSE").is_file()
