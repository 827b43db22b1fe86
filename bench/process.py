"""Process: one program that the bench started, what it uses, and its end.

Owns a child's life and the reading of what Linux counts of it (the bench runs nowhere else).

Guarantees: it dies with the bench, whatever kills that (`andon.supervised`); what it wrote is told if it ends by
itself.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from andon.supervised import spawn

ROOT: Final = Path(__file__).parents[1]
_READY_S: Final = 60.0
_END_S: Final = 10.0
_POLL_S: Final = 0.01
_CPUCLOCK_SCHED: Final = 2  # of the whole process (linux/posix-timers.h)
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_FOREIGN: Final = ("ANDON_", "OPENAI_", "REDIS_")


class ProcessError(Exception):
    """A program did not start, or ended by itself; the message is the end of what it wrote."""


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without settings of anything that is measured, then `env`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "PYTHONPATH": str(ROOT), **env}


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, in user and kernel mode together.

    Its CPU-time clock (clock_getcpuclockid(3)): utime and stime of /proc/PID/stat, without their ticks of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def resident_bytes(pid: int) -> int:
    """Return the resident set of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


class Process:
    """A running child. `log` gets both of its outputs."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._popen: subprocess.Popen[bytes] = spawn(argv, output=output, env=clean_environment(env))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def check(self) -> None:
        """Raise ProcessError if it has ended."""
        code = self._popen.poll()
        if code is not None:
            raise ProcessError(f"{self.name} ended with {code}:\n{self.said()}")

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    async def ready(self, look: Callable[[bytes], int | None]) -> int:
        """Wait for the line that says it is ready, and return the port that `look` finds in it."""
        deadline = asyncio.get_running_loop().time() + _READY_S
        while asyncio.get_running_loop().time() < deadline:
            for line in self._log.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n") and (port := look(line)) is not None:
                    return port
            self.check()
            await asyncio.sleep(_POLL_S)  # between two looks at its log
        raise ProcessError(f"{self.name} was not ready within {_READY_S:.0f} s:\n{self.said()}")

    def terminate(self) -> None:
        """Ask it to end."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait for its end; kill it if it takes too long."""
        try:
            await asyncio.to_thread(self._popen.wait, _END_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            await asyncio.to_thread(self._popen.wait)
