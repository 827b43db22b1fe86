"""Process: one child of a stack, and what it wrote.

Owns a child's whole life and its log file. Does not own what counts as a fault (`tests.stack.faults`).

Guarantees: the child dies with the test process, whatever kills that (`andon.supervised`); `close` leaves no process
behind; signals go to this one process by its id, never by a name.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from andon.supervised import spawn

from .disclosure import secrets_of
from .waiting import wait_until

ROOT = Path(__file__).parents[2]
_READY_S = 30.0  # 0.5 to 2 s is usual; a loaded machine takes longer
_END_S = 15.0


class Process:
    """A running child. `name` is for messages and its log file."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log_path = logs / f"{name}.log"
        # The test ended it, or let it be ended: its exit code is the test's business.
        self.end_is_expected = False
        # What it was given and must never show.
        self.secrets = secrets_of(env)
        with self.log_path.open("ab") as log:
            # From the repository's root, so that a checkout that is not installed is found as well.
            self._popen: subprocess.Popen[bytes] = spawn(argv, output=log, env={**env, "PYTHONPATH": str(ROOT)})

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def log(self) -> str:
        """Everything that it wrote so far."""
        return self.log_path.read_text(errors="replace")

    def log_events(self, event: str) -> list[dict[str, Any]]:
        """Return the complete structured log lines of one event."""
        lines = self.log_path.read_bytes().splitlines(keepends=True)
        found = (line for line in lines if line.endswith(b"\n") and b'"%b"' % event.encode() in line)
        return [record for record in map(msgspec.json.decode, found) if record.get("event") == event]

    async def ready(self, event: str) -> dict[str, Any]:
        """Wait for the log line of this event, and return it. Fails if the process ends instead."""

        def look() -> list[dict[str, Any]]:
            assert self.exit_code is None, f"{self.name} ended with {self.exit_code}:\n{self.log()}"
            return self.log_events(event)

        return (await wait_until(look, _READY_S, what=f"{self.name} logs {event}"))[0]

    async def ended(self, timeout_s: float = _END_S) -> int:
        """Wait for the end that the test expects, and return the exit code."""
        self.end_is_expected = True
        await wait_until(lambda: self.exit_code is not None, timeout_s, what=f"{self.name} ends")
        assert self._popen.returncode is not None
        return self._popen.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    async def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.end_is_expected = True
        self.send_signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """Send SIGKILL, as a crash would end it, and wait until it is gone."""
        self.end_is_expected = True
        self.send_signal(signal.SIGKILL)
        await self.ended()

    def freeze(self) -> None:
        """Send SIGSTOP: it lives, holds its sockets, and does nothing."""
        self.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it for good, whatever state it is in. Harmless when it has ended."""
        self.thaw()
        if self.exit_code is None:
            self._popen.kill()
        self._popen.wait()
