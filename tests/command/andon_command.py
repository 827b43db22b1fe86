"""The `andon` command as a process, as a user has it: its exit code and what it printed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

from andon.command.ports import next_free
from tests.stack.disclosure import disclosed, secrets_of

WAIT_S = 30.0
_FIRST_PORT, _BLOCK, _BLOCKS = 21300, 10, 130


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def check_shows_no_secret(self, env: Mapping[str, str]) -> None:
        """Assert that it printed nothing that it was given in secret, or that looks like it."""
        assert not list(disclosed(self.out + self.err, secrets_of(env)))


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which nothing of the developer's own reaches the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANDON_", "OPENAI_"))}
    # A machine that runs many tests at once may starve a worker for seconds.
    kept["ANDON_LEASE_S"] = "20"
    return {**kept, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120", **more}


def andon(
    *words: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    may_show_a_key: bool = False,
    within_s: float = WAIT_S,
) -> Done:
    """Run a command to its end."""
    run = subprocess.run(
        [sys.executable, "-P", "-m", "andon.command", *words],
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=within_s,
        check=False,
    )
    done = Done(run.returncode, run.stdout, run.stderr)
    if not may_show_a_key:
        done.check_shows_no_secret(env or {})
    return done


# Every command started, so that a test that fails leaves none running.
STARTED: "list[Running]" = []


@dataclass(slots=True)
class Running:
    """A command that runs. Its output is collected as it comes, so no pipe fills up."""

    process: "subprocess.Popen[str]"
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    readers: list[Thread] = field(default_factory=list)
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, *words: str, env: Mapping[str, str] | None = None) -> "Running":
        """Start a command."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "andon.command", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**(env or {})),
            start_new_session=True,
        )
        running = cls(process, env=env or {})
        STARTED.append(running)
        for pipe, text in ((process.stdout, running.out), (process.stderr, running.err)):
            assert pipe is not None

            def read(read: Callable[[int], str] = pipe.read, text: list[str] = text) -> None:
                while piece := read(1):
                    text.append(piece)

            running.readers.append(Thread(target=read, daemon=True))
            running.readers[-1].start()
        return running

    def until(self, text: str) -> str:
        """Wait until `text` has been printed (to either output); return all of that output."""
        deadline = time.monotonic() + WAIT_S
        while True:
            for printed in ("".join(self.out), "".join(self.err)):
                if text in printed:
                    return printed
            ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self.readers)
            assert not ended, f"ended without {text!r}: {''.join(self.out)}{''.join(self.err)}"
            assert time.monotonic() < deadline, f"no {text!r} in {''.join(self.out)}{''.join(self.err)}"
            time.sleep(0.005)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone."""
        self.process.send_signal(number)

    def children_once(self, there_are: int) -> list[int]:
        """Wait until it has started so many processes; return their ids."""
        deadline = time.monotonic() + WAIT_S
        while len(children := psutil.Process(self.process.pid).children()) < there_are:
            assert time.monotonic() < deadline, f"only {children}"
            time.sleep(0.005)
        return [child.pid for child in children]

    def wait(self) -> Done:
        """Wait for its end."""
        code = self.process.wait(WAIT_S)
        for reader in self.readers:
            reader.join(WAIT_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        done = Done(code, "".join(self.out), "".join(self.err))
        done.check_shows_no_secret(self.env)
        return done

    def end(self) -> Done:
        """End it, if it still runs, with all its children."""
        if self.process.poll() is None:
            self.process.kill()
        return self.wait()


def free_ports() -> int:
    """Return the first of two free neighbours; test processes search apart."""
    first = next_free("127.0.0.1", _FIRST_PORT + os.getpid() % _BLOCKS * _BLOCK)
    return first if next_free("127.0.0.1", first + 1) == first + 1 else next_free("127.0.0.1", first + 2)
