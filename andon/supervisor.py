"""Named child processes, started in stages, restarted when they crash, ended in the reverse order.

Owns the children from their start to their end, and their output. Does not own what they are (the caller's
`Program`s) nor signals: the caller leaves the `supervise` block when it has been told to end.

Guarantees: `ready` returns when every program is ready, or raises for the first that can't start; a ready child that
ends is started again, ever later, and after RESTARTS_MAX times without staying up the supervisor gives up with its
name; on leaving the block the stages end in reverse order, each within its programs' grace, then by SIGKILL; no child
outlives this process (`andon.supervised`).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from andon.embedded_home import Home
from andon.errors import StartError
from andon.supervised import tied_argv

READY_S = 30.0  # a cold start on a loaded machine takes seconds; more is a hang
RESTARTS_MAX = 5
_STEADY_S = 10.0  # up for so long, a child's earlier crashes are forgotten
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MAX_S = 3.0
_PROBE_S = 0.02
_LINE_MAX_BYTES = 64 * 1024  # a longer line is passed on in pieces: bounded memory

Sink = Callable[[str, bytes], None]
"""Takes one line of a child's output: the child's name, and the line without its end. Must not block."""


class ChildFailed(StartError):  # noqa: N818 - the condition is the name
    """A child can't start, or crashed too often; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to know that it is ready.

    Ready is when a line of output holds `ready_text` (if given) and `probe` (if given) has answered True; a program
    with neither is ready once it has started. `grace_s` is what SIGTERM may take before SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready_text: bytes | None = None
    probe: Callable[[], Awaitable[bool]] | None = None
    grace_s: float = 10.0


class _Child:
    """One program's process, and its successors."""

    def __init__(
        self, program: Program, sink: Sink, home: Home | None, hurry: asyncio.Event, changed: Callable[[], None]
    ) -> None:
        self.program = program
        self._sink = sink
        self._home = home  # knows the process ids, to clean up after us where the kernel does not
        self._hurry = hurry  # set: whoever is ending skips its grace
        self._changed = changed  # tells the supervisor to look at `ready` and `failure`
        # Set once, at the first time the program was ready; from then on an end is a crash, not a failed start.
        self.ready = False
        # Set once, when nothing more will be tried.
        self.failure: ChildFailed | None = None
        # The present process; None between two.
        self.pid: int | None = None
        self._ending = asyncio.Event()  # set: an exit is what was asked for
        self._said_text = asyncio.Event()  # `ready_text` has been seen
        self._last_lines: deque[bytes] = deque(maxlen=20)  # to say why a start failed

    def end(self) -> None:
        """Ask for the end; `keep` returns when it is done."""
        self._ending.set()

    async def keep(self) -> None:
        """Run the program, again and again, until `end`. Never raises for what the program does."""
        crashes = 0
        while not self._ending.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._ending.is_set():
                return
            if not self.ready:
                self._fail(f"{self.program.name} could not start: {self._why(status)}")
                return
            crashes = 1 if time.monotonic() - started > _STEADY_S else crashes + 1
            if crashes > RESTARTS_MAX:
                self._fail(f"{self.program.name} crashed {crashes} times in a row: {self._why(status)}")
                return
            wait_s = min(_BACKOFF_FIRST_S * 2 ** (crashes - 1), _BACKOFF_MAX_S)
            self._sink("supervisor", f"{self.program.name} ended ({status}); again in {wait_s:.1f} s".encode())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ending.wait()

    async def _run_once(self) -> str:
        """Run one process to its end; tell how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *tied_argv(self.program.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self.program.env),
                start_new_session=True,  # a Ctrl-C reaches the supervisor alone, which keeps the order
            )
        except OSError as error:
            return f"{self.program.argv[0]}: {error.strerror}"
        self.pid = process.pid
        if self._home is not None:
            self._home.adopt(process.pid)
        try:
            async with asyncio.TaskGroup() as group:
                assert process.stdout is not None
                group.create_task(self._collect(process.stdout))
                waiting = [group.create_task(self._await_ready()), group.create_task(self._await_end(process))]
                code = await process.wait()
                for task in waiting:
                    task.cancel()
        finally:
            self.pid = None
            if process.returncode is None:  # only when this task itself was cancelled
                process.kill()
            elif self._home is not None:
                self._home.release(process.pid)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def _collect(self, output: asyncio.StreamReader) -> None:
        partial = b""
        while chunk := await output.read(_LINE_MAX_BYTES):
            *lines, partial = (partial + chunk).split(b"\n")
            if len(partial) > _LINE_MAX_BYTES:
                lines, partial = [*lines, partial], b""
            for line in lines:
                self._take(line)
        if partial:
            self._take(partial)

    def _take(self, line: bytes) -> None:
        self._last_lines.append(line)
        if self.program.ready_text is not None and self.program.ready_text in line:
            self._said_text.set()
        self._sink(self.program.name, line)

    async def _await_ready(self) -> None:
        if self.program.ready_text is not None:
            await self._said_text.wait()
        # A poll: whether a server answers is no event of this loop.
        while self.program.probe is not None and not await self.program.probe():  # noqa: ASYNC110
            await asyncio.sleep(_PROBE_S)
        self.ready = True
        self._changed()

    async def _await_end(self, process: asyncio.subprocess.Process) -> None:
        await self._ending.wait()
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, in the same moment
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.program.grace_s):
                    await self._hurry.wait()
            process.kill()

    def _fail(self, message: str) -> None:
        self.failure = ChildFailed(message)
        self._changed()

    def _why(self, status: str) -> str:
        said = self.last_words()
        return f"{said} ({status})" if said else status

    def last_words(self) -> str:
        """Return the last line meant for people; a log record only where there is nothing else."""
        lines = [line.decode(errors="replace").strip() for line in self._last_lines if line.strip()]
        plain = [line for line in lines if not line.startswith("{")]
        return (plain or lines or [""])[-1]


class Supervisor:
    """The children of one `supervise` block."""

    def __init__(self, group: asyncio.TaskGroup, sink: Sink, home: Home | None, hurry: asyncio.Event) -> None:
        self._group = group
        self._sink = sink
        self._home = home
        self._hurry = hurry
        # In order of start; each with the task that keeps it.
        self._stages: list[list[tuple[_Child, asyncio.Task[None]]]] = []
        self._news = asyncio.Event()  # some child's `ready` or `failure` changed

    def launch(self, *programs: Program) -> None:
        """Start a stage without waiting for it: stages that need each other only at the end can start at once."""
        children = [_Child(program, self._sink, self._home, self._hurry, self._news.set) for program in programs]
        self._stages.append([(child, self._group.create_task(child.keep())) for child in children])

    async def ready(self) -> None:
        """Wait until every child has been ready. Raises ChildFailed if one can't start, or isn't within READY_S.

        Cancelling it is safe: what has been started is ended with the block.
        """
        try:
            async with asyncio.timeout(READY_S):
                await self._until(lambda: not any(self._late()))
        except TimeoutError:
            late = next(self._late())
            said = f"; it said: {late.last_words()}" if late.last_words() else ""
            raise ChildFailed(f"{late.program.name} was not ready within {READY_S:.0f} s{said}") from None

    async def start(self, *programs: Program) -> None:
        """Start a stage and wait until it is ready: `launch`, then `ready`."""
        self.launch(*programs)
        await self.ready()

    async def watch(self) -> None:
        """Wait for ever; raises ChildFailed when a child has crashed too often. Cancelling it is safe."""
        await self._until(lambda: False)

    def pids(self) -> dict[str, int | None]:
        """Return each program's present process id; None between a crash and the restart."""
        return {child.program.name: child.pid for stage in self._stages for child, _ in stage}

    async def end(self) -> None:
        """End all stages, the last started first. It is bounded by the sum of the stages' longest graces."""
        for stage in reversed(self._stages):
            for child, _ in stage:
                child.end()
            await asyncio.wait([task for _, task in stage])
        self._stages.clear()

    def _late(self) -> Iterator[_Child]:
        return (child for stage in self._stages for child, _ in stage if not child.ready)

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            for stage in self._stages:
                for child, _ in stage:
                    if child.failure is not None:
                        raise child.failure
            # No await between the look and the clear: no change is missed.
            self._news.clear()
            await self._news.wait()


@contextlib.asynccontextmanager
async def supervise(
    sink: Sink, *, home: Home | None = None, hurry: asyncio.Event | None = None
) -> AsyncIterator[Supervisor]:
    """Own a set of children for the length of a block. Must be entered in a thread that lives as long as they do.

    `home` is where they live (their command lines name it), so that a later start can clean up after a dead parent;
    setting `hurry` cuts short the grace of whatever is ending (a second Ctrl-C).
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, sink, home, hurry or asyncio.Event())
        try:
            yield supervisor
        except Exception as error:  # noqa: BLE001 - raised again below, bare: the group would wrap it
            failure = error
        finally:
            await supervisor.end()
    if failure is not None:
        raise failure
