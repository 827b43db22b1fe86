import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from andon import supervisor as supervisor_module
from andon.supervisor import ChildFailed, Program, supervise
from tests.embedded.processes import is_alive, wait_gone

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
# Says when it is told to end, and then takes a moment, so that an order can be seen.
TELLS_ITS_END = """
import os, signal, time
def say(word):  # not print: the signal may come within one, and buffers are not entered twice
    os.write(1, word + b"\\n")
def end(*_):
    say(b"told")
    time.sleep(0.1)
    say(b"ended")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
say(b"ready")
while True:
    time.sleep(600)
"""


class Heard:
    """A sink that remembers, and can be waited on."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._more = asyncio.Event()

    def __call__(self, name: str, line: bytes) -> None:
        """Take a line."""
        self.lines.append((name, line.decode()))
        self._more.set()

    async def until(self, name: str, text: str, times: int = 1) -> None:
        """Wait until a child has said something so many times."""
        while sum(1 for who, line in self.lines if who == name and text in line) < times:
            self._more.clear()
            async with asyncio.timeout(10):
                await self._more.wait()


def toy(name: str, code: str, *, grace_s: float = 5.0, ready_text: bytes | None = b"ready") -> Program:
    return Program(name, (sys.executable, "-S", "-c", code), dict(os.environ), ready_text=ready_text, grace_s=grace_s)


async def keep_up(*programs: Program) -> None:
    """Start a stage and watch it; it ends by an error only."""
    async with asyncio.timeout(20), supervise(Heard()) as supervisor:
        await supervisor.start(*programs)
        await supervisor.watch()


def pid_of(pids: dict[str, int | None], name: str) -> int:
    pid = pids[name]
    assert pid is not None
    return pid


async def test_start_returns_when_all_of_the_stage_is_ready() -> None:
    """Ready is what the program says of itself, by a line or by a probe, and not that it has been started."""
    heard = Heard()
    asked = 0

    async def probe() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    async with supervise(heard) as supervisor:
        probed = Program("b", (sys.executable, "-S", "-c", SLEEPS), dict(os.environ), probe=probe)
        await supervisor.start(toy("a", SLEEPS), probed)
        assert ("a", "ready") in heard.lines
        assert asked == 3
        pids = [pid_of(supervisor.pids(), name) for name in "ab"]
        assert all(is_alive(pid) for pid in pids)
    wait_gone(*pids)


async def test_stages_end_in_reverse_order() -> None:
    """A later stage has ended before an earlier one is told to: gateways before workers before Valkey."""
    heard = Heard()
    async with supervise(heard) as supervisor:
        await supervisor.start(toy("first", TELLS_ITS_END))
        await supervisor.start(toy("second", TELLS_ITS_END), toy("twin", TELLS_ITS_END))
        await supervisor.start(toy("third", TELLS_ITS_END))
    ends = [(name, line) for name, line in heard.lines if line != "ready"]
    assert ends[:2] == [("third", "told"), ("third", "ended")]
    assert sorted(ends[2:4]) == [("second", "told"), ("twin", "told")]
    assert ends[6:] == [("first", "told"), ("first", "ended")]


async def test_a_crashed_child_is_started_again() -> None:
    """Kill one: it comes back under another id, with a note of how it ended, and its siblings stay."""
    heard = Heard()
    async with supervise(heard) as supervisor:
        await supervisor.start(toy("a", SLEEPS), toy("b", SLEEPS))
        first, sibling = pid_of(supervisor.pids(), "a"), supervisor.pids()["b"]
        os.kill(first, signal.SIGKILL)
        await heard.until("a", "ready", times=2)
        assert pid_of(supervisor.pids(), "a") != first
        assert supervisor.pids()["b"] == sibling
        assert ("supervisor", "a ended (signal 9); again in 0.2 s") in heard.lines


async def test_a_child_that_crashes_too_often_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts are bounded: `watch` raises one line with the name and the child's last words."""
    monkeypatch.setattr(supervisor_module, "_BACKOFF_FIRST_S", 0.001)
    code = "print('ready', flush=True); print('out of luck', flush=True); raise SystemExit(3)"
    with pytest.raises(ChildFailed, match=r"a crashed 6 times in a row: out of luck \(exit code 3\)"):
        await keep_up(toy("a", code))


async def test_a_child_that_cannot_start_is_said_in_one_line() -> None:
    """An exit before the child is ready fails the start, names it and repeats its words, not its log records."""
    code = """print('port 1 is taken'); print('{"event": "exit"}'); raise SystemExit(1)"""
    with pytest.raises(ChildFailed, match=r"^bad could not start: port 1 is taken \(exit code 1\)$"):
        await keep_up(toy("good", SLEEPS), toy("bad", code))


async def test_a_program_that_is_not_there_is_said_in_one_line() -> None:
    """A missing program is a failed start like any other."""
    program = Program("ghost", ("/nowhere/ghost",), dict(os.environ), ready_text=b"boo")
    with pytest.raises(ChildFailed, match=r"^ghost could not start: /nowhere/ghost: No such file or directory"):
        await keep_up(program)


async def test_a_child_that_is_never_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for readiness has a deadline, and says what the child was last heard to say."""
    monkeypatch.setattr(supervisor_module, "READY_S", 0.5)
    code = "import time; print('still thinking', flush=True); time.sleep(600)"
    with pytest.raises(ChildFailed, match=r"^slow was not ready within .* still thinking$"):
        await keep_up(toy("slow", code))


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    """The end is bounded: grace, then SIGKILL."""
    async with supervise(Heard()) as supervisor:
        await supervisor.start(toy("stubborn", IGNORES_SIGTERM, grace_s=0.2))
        pid = pid_of(supervisor.pids(), "stubborn")
        started = time.monotonic()
    assert 0.2 <= time.monotonic() - started < 4
    assert not is_alive(pid)


async def test_hurry_cuts_the_grace_short() -> None:
    """A second Ctrl-C does not wait for a drain."""
    hurry = asyncio.Event()
    async with asyncio.timeout(10), supervise(Heard(), hurry=hurry) as supervisor:
        await supervisor.start(toy("stubborn", IGNORES_SIGTERM, grace_s=600))
        pid = pid_of(supervisor.pids(), "stubborn")
        hurry.set()
    assert not is_alive(pid)


async def test_a_cancelled_block_ends_its_children() -> None:
    """Cancelling the task that owns the block ends the children before the cancel goes on."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def own() -> None:
        async with supervise(Heard()) as supervisor:
            await supervisor.start(toy("a", SLEEPS))
            started.set_result(pid_of(supervisor.pids(), "a"))
            await supervisor.watch()

    task = asyncio.create_task(own())
    pid = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(pid)


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    """The children end, and the caller's own error is not wrapped in a group."""
    pids: list[int] = []

    async def fail() -> None:
        async with supervise(Heard()) as supervisor:
            await supervisor.start(toy("a", SLEEPS))
            pids.append(pid_of(supervisor.pids(), "a"))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()
    assert not is_alive(pids[0])


async def test_long_output_is_passed_on_in_bounded_pieces() -> None:
    """A line without an end does not grow in memory, and nothing of it is lost."""
    heard = Heard()
    code = f"print('x' * 300_000, flush=True); {SLEEPS}"
    async with supervise(heard) as supervisor:
        await supervisor.start(toy("loud", code))
    pieces = [line for _, line in heard.lines if line.startswith("x")]
    assert sum(map(len, pieces)) == 300_000
    assert max(map(len, pieces)) < 200_000


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("frozen", [False, True])
def test_children_die_with_a_killed_supervisor(frozen: bool, tmp_path: Path) -> None:
    """After a kill -9 of the supervising process no child is left, whatever the child ignores."""
    code = f"""
import asyncio, os, sys
from andon.supervisor import Program, supervise
async def main():
    async with supervise(lambda *_: None) as supervisor:
        argv = (sys.executable, "-S", "-c", {IGNORES_SIGTERM!r})
        await supervisor.start(Program("a", argv, dict(os.environ), ready_text=b"ready"))
        print(supervisor.pids()["a"], flush=True)
        await supervisor.watch()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if frozen:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
    wait_gone(pid)
