"""Processes seen from outside: is this one alive, and waiting until it is not."""

import time
from pathlib import Path

import psutil

GONE_S = 10.0


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie, which only waits to be reaped, does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_gone(*pids: int) -> None:
    """Wait until none of the processes is alive. Raises AssertionError after GONE_S."""
    deadline = time.monotonic() + GONE_S
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.005)


def wait_removed(path: Path) -> None:
    """Wait until a directory is gone: another process's sweep may be at it in this moment."""
    deadline = time.monotonic() + GONE_S
    while path.exists():
        assert time.monotonic() < deadline, f"still there: {path}"
        time.sleep(0.005)
