"""A child process that does not outlive the process that started it.

Owns how a child is started. Does not own what becomes of it: `andon.embedded` and `andon.supervisor` wait for,
restart and end their children.

Guarantee on Linux: when the parent dies, however it dies (`kill -9` too), the kernel kills the child at once.
Elsewhere nothing in the kernel does that; `andon.embedded_home` ends such an orphan at the next start.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

_SHIM = Path(__file__).with_name("supervised_exec.py")

# The kernel sends the signal when the *thread* that forked ends. A caller's thread may be short-lived (a pool's, a
# test's), so every fork happens on this one, which lives as long as the interpreter. Threads start at first use.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="andon-spawner")


def tied_argv(argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` tied to the life of the *calling process*.

    Whoever uses it must fork from a thread that lives as long as the child should (an event loop's thread will do
    for a child that the loop looks after).
    """
    if sys.platform != "linux":
        return list(argv)
    # -I and -S: nobody's PYTHONPATH, site-packages or .pth files; it also starts in half the time.
    return [sys.executable, "-I", "-S", str(_SHIM), str(os.getpid()), *argv]


def spawn(
    argv: Sequence[str], *, output: IO[bytes] | int, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `argv` tied to this process, from any thread. Standard input is empty, both outputs go to `output`.

    The child gets a session of its own: a Ctrl-C in the terminal reaches the parent alone, which ends its children
    in its own order. Raises OSError when the program can't be started at all.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the callers pass their own programs
            tied_argv(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            start_new_session=True,
        )

    return _SPAWNER.submit(start).result()
