"""Writes the hashed locks of the image: requirements.lock (what runs in it) and requirements-build.lock (what builds).

`python .ci/image_lock.py`, or `make lock-image`. The versions are those of constraints.txt; the hashes are those of the
very wheels that pip takes on Linux with the image's Python, x86-64 and arm64: asked of pip, which need not download
them for that. A dependency without a wheel for both fails here.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = "3.13"
# From the newest to the oldest glibc that the image has (Debian 13: 2.41): the order in which pip there prefers them.
_GLIBC = (40, 39, 35, 34, 31, 28, 27, 24, 17)
_OLD_NAMES = {17: "manylinux2014"}
_HEAD = "# Written by `make lock-image`: Linux, Python {python}, x86-64 and arm64, {what}.\n"


def main() -> int:
    """Write both locks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runs = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["otel"]
    wanted = {
        "requirements.lock": ("what runs in the image", runs),
        "requirements-build.lock": ("what builds the wheel", project["build-system"]["requires"]),
    }
    for name, (what, requirements) in wanted.items():
        pins: dict[str, set[str]] = {}
        for machine in ("x86_64", "aarch64"):
            for pin, sha256 in resolved(requirements, machine):
                pins.setdefault(pin, set()).add(sha256)
        lines = [_HEAD.format(python=PYTHON, what=what)]
        lines += [
            " \\\n    ".join([pin, *(f"--hash=sha256:{sha256}" for sha256 in sorted(pins[pin]))]) + "\n"
            for pin in sorted(pins, key=str.lower)
        ]
        (ROOT / name).write_text("".join(lines), encoding="utf-8")
    return 0


def resolved(requirements: list[str], machine: str) -> list[tuple[str, str]]:
    """Return `name==version` and the hash of the wheel, for all that these requirements take on this machine."""
    tags = [tag for minor in _GLIBC for tag in (f"manylinux_2_{minor}", _OLD_NAMES.get(minor)) if tag]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        subprocess.run(  # noqa: S603 - our own arguments
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *("--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"),
                *("--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
                *(word for tag in tags for word in ("--platform", f"{tag}_{machine}")),
                *("--target", scratch, "--report", str(report), "--constraint", str(ROOT / "constraints.txt")),
                *requirements,
            ],
            check=True,
        )
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [
        (
            f"{each['metadata']['name']}=={each['metadata']['version']}",
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in installs
    ]


if __name__ == "__main__":
    sys.exit(main())
