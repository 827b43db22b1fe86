"""Environment: the virtual environment that the peers run in, and nothing else does.

Owns its making, from `requirements.txt` beside this file and the repository's constraints.txt, and the versions that
are in it. Guarantees: after `install` it holds what the two files say; one that does already is left as it is. The
environment that Andon runs in is never touched.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DIRECTORY: Final = ROOT / ".cache" / "bench" / "venv"
PYTHON: Final = DIRECTORY / "bin" / "python"

_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
_CONSTRAINTS: Final = ROOT / "constraints.txt"
_STAMP: Final = DIRECTORY / ".installed"
_INSTALL_S: Final = 900  # some 20 MB, over a slow line


class InstallError(Exception):
    """The environment could not be made; the message holds the last lines of what pip, or venv, said."""


def install() -> None:
    """Make the environment, or bring it up to date. Blocks: 10 to 60 s the first time. Raises InstallError."""
    wanted = _digest()
    if is_installed():
        return
    _STAMP.unlink(missing_ok=True)
    _run(sys.executable, "-m", "venv", "--clear", str(DIRECTORY))
    pip = (str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(*pip, "--constraint", str(_CONSTRAINTS), "--requirement", str(_REQUIREMENTS))
    _STAMP.write_text(wanted)


def is_installed() -> bool:
    """Tell whether the environment holds what is asked for today."""
    return _STAMP.is_file() and _STAMP.read_text() == _digest()


def versions(*packages: str) -> str:
    """Return `package version, package version, ...` of packages that `requirements.txt` names."""
    pins = dict(line.split("==") for line in _REQUIREMENTS.read_text().splitlines() if "==" in line)
    return ", ".join(f"{package} {pins[package]}" for package in packages)


def _digest() -> str:
    parts = (_REQUIREMENTS.read_bytes(), _CONSTRAINTS.read_bytes(), sys.version.encode(), str(DIRECTORY).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{' '.join(argv[:4])} took longer than {_INSTALL_S} s") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-8:]
        raise InstallError(f"{' '.join(argv[:4])} failed (exit code {done.returncode}): " + "\n  ".join(said))
