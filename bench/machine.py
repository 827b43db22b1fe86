"""Machine: what a run was made on, as far as a reader can use it. No name of the host, no paths."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from andon.embedded import server_binary


class Machine(msgspec.Struct, frozen=True):
    """The machine and the day."""

    made: str
    cpus: int
    cpu: str
    kernel: str
    python: str
    redis: str
    commit: str
    # 1-minute load average as the run began: what else was going on.
    load: float


def machine() -> Machine:
    """Look at this one."""
    return Machine(
        made=time.strftime("%Y-%m-%d", time.gmtime()),
        cpus=len(os.sched_getaffinity(0)),
        cpu=_cpu(),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        redis=_said(str(server_binary()), "--version").partition(" sha=")[0],
        commit=_said("git", "rev-parse", "--short=12", "HEAD"),
        load=os.getloadavg()[0],
    )


def versions() -> dict[str, str]:
    """Return the versions of what Andon's speed rests on."""
    names = ("andon", "openai", "httpx2", "redis", "hiredis", "starlette", "uvicorn", "uvloop", "msgspec")
    return {name: importlib.metadata.version(name) for name in names}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(machine()) + b"\n")
