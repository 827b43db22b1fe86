"""Jail: what a container is to a process, as far as the kernel gives it without a container engine.

Owns the wrapping of a command: it is process 1 of its own, the root file system is read-only, and it has neither
capabilities nor a way to get any. It is not another user where the interpreter lies in a directory that only this one
may enter. Needs root on Linux; elsewhere `is_possible` says no.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil

_USER = "10001"
# Every mount that is not the kernel's own is made read-only, /tmp included.
_READ_ONLY = (
    'while read -r _ at kind _; do case "$kind" in proc|sysfs|devpts|mqueue|cgroup*) ;; '
    '*) mount -o remount,bind,ro "$at" 2>/dev/null || true ;; esac; done < /proc/mounts; exec "$@"'
)


@cache
def is_possible() -> bool:
    """Tell whether this machine lets us."""
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "nsenter"))):
        return False
    return subprocess.run(jailed(["true"]), capture_output=True, timeout=20, check=False).returncode == 0


def jailed(argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` in a jail. It ends when that ends, with its exit code."""
    namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*namespaces, "sh", "-c", _READ_ONLY, "sh", *_without_privilege(argv[0]), *argv]


def beside(pid: int, argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` in the jail of that process, as a health check runs."""
    return ["nsenter", "--target", str(pid), "--mount", "--pid", *_without_privilege(argv[0]), *argv]


def first_of(pid: int) -> int | None:
    """Return the id, out here, of process 1 of the jail that was started as `pid`; None while there is none yet."""
    children = psutil.Process(pid).children()
    return children[0].pid if children else None


def _without_privilege(program: str) -> list[str]:
    user = ["--reuid", _USER, "--regid", _USER, "--clear-groups"] if _is_open_to_all(program) else []
    return ["setpriv", *user, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def _is_open_to_all(program: str) -> bool:
    """Tell whether any user may reach the program, and the interpreter that it names."""
    ends = [Path(shutil.which(program) or program)]
    python = ends[0].with_name("python")
    if python.exists():
        ends.append(python.resolve())
    return all(directory.stat().st_mode & 0o005 == 0o005 for end in ends for directory in end.resolve().parents)
