"""Build: the floor's program, compiled when the bench runs.

Owns where it lies and when it is out of date. Guarantees: what `build` returns is made of the sources as they are.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent
_FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra")
_PLACE: Final = Path(__file__).parents[2] / ".cache" / "bench"
_COMPILE_S: Final = 120


class BuildError(Exception):
    """It could not be compiled; the message says what is missing, or what the compiler said."""


def compiler() -> str | None:
    """Return the path of the C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build() -> Path:
    """Return the program, compiled if it is not yet, a second at most. Raises BuildError."""
    cc = compiler()
    if cc is None:
        raise BuildError("no C compiler: install one (Debian: apt-get install gcc libc6-dev; macOS: xcode-select)")
    sources = sorted(_SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"\0".join([*(source.read_bytes() for source in sources), *map(str.encode, _FLAGS)]))
    program = _PLACE / f"floor-{digest.hexdigest()[:16]}"
    if not program.exists():
        _PLACE.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(".new")
        argv = (cc, *_FLAGS, "-o", str(fresh), *(str(source) for source in sources if source.suffix == ".c"))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_COMPILE_S)
        if done.returncode != 0:
            raise BuildError(f"{cc} could not compile the floor:\n{done.stderr[-2000:]}")
        fresh.rename(program)
    return program


def compiler_version() -> str:
    """Return the first line of what the compiler says of itself."""
    cc = compiler()
    if cc is None:
        return "none"
    done = subprocess.run((cc, "--version"), capture_output=True, text=True, check=False, timeout=_COMPILE_S)
    return done.stdout.partition("\n")[0]
