"""Environment: what the image's first stage makes, made here by the very commands of the Dockerfile.

Owns the replaying: COPY and RUN of the stage `build`, their paths put under a directory of ours, on the Python that the
image has. Once a test run, however many processes that has. Does not own what is tried in it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .dockerfile import stages
from .tools import ROOT

_STEP_S = 400
_READY = "ready"


def image_python() -> str:
    """Return the interpreter of the version that the image is made from; skip where there is none."""
    version = stages()["run"].base.partition(":")[2].partition("-")[0]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable, f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for candidate in candidates:
        try:
            told = subprocess.run([candidate, "-V"], capture_output=True, text=True, timeout=20, check=False)
        except OSError:
            continue
        if told.stdout.startswith(f"Python {version}."):
            return candidate
    pytest.skip(f"the image has Python {version}, and there is none here")


def built(home: Path) -> Path:
    """Return the environment `/opt/andon` of the image, under `home`; build it if no other process has."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / _READY).exists():
            _build(home)
            (home / _READY).touch()
    return home / "opt" / "andon"


def _build(home: Path) -> None:
    python = image_python()
    (home / "src").mkdir(parents=True)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "VIRTUAL_ENV", "ANDON_", "OPENAI_"))}
    for name, value in stages()["build"].instructions:
        if name == "ENV":
            kept |= dict(word.split("=", 1) for word in value.split())
            # The image keeps no cache; here it saves the network.
            kept.pop("PIP_NO_CACHE_DIR", None)
        elif name == "COPY":
            *sources, target = value.split()
            for source in sources:
                _copy(ROOT / source, home / "src" / target)
        elif name == "RUN":
            words = [python if word == "python" else _under(home, word) for word in value]
            done = subprocess.run(
                words, cwd=home / "src", env=kept, capture_output=True, text=True, timeout=_STEP_S, check=False
            )
            assert done.returncode == 0, f"RUN {value}\n{done.stdout}{done.stderr}"


def _under(home: Path, word: str) -> str:
    return f"{home}{word}" if word.startswith(("/opt/", "/wheel")) else word


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    else:
        shutil.copy(source, target)
