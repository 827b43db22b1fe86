"""Profile: where Andon's CPU goes under the paced load, function by function, by py-spy.

Owns the sampling of a running stack and the summing up. py-spy belongs to the bench's own requirements; reading another
process needs root, or `kernel.yama.ptrace_scope=0`.
"""

import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from bench.contenders import ANDON
from bench.measures.load import loaded
from bench.size import Size
from bench.stage import Stage, stage

_SECONDS: Final = 5
_RATE: Final = 500
_ROWS: Final = 25


class ProfileError(Exception):
    """py-spy is missing, or may not look; the message says which."""


async def profile(size: Size) -> str:
    """Run the load, sample each process, and return what took the time."""
    async with stage() as running:
        return await _profile(running, *size.paced)


async def _profile(running: Stage, streams: int, rate: float) -> str:
    cast = await running.cast(ANDON)
    told = []
    async with loaded(running, cast, streams, rate) as load:
        await load.begin()
        for role, processes in cast.processes.items():
            stacks = await _sampled(processes[0].pid)
            told.append(f"{role}, share of its samples: in the function itself, and with all it calls\n{_sum(stacks)}")
        look = await load.look()
    shares = ", ".join(f"{role} {share:.2f}" for role, share in look.contender.items())
    head = (
        f"{look.delivered_a_second:,.0f} tokens/s of {streams} x {rate:g}; of a core: {shares}, Redis {look.redis:.2f}"
    )
    return "\n\n".join([head, *told])


async def _sampled(pid: int) -> list[tuple[list[str], int]]:
    """Return the stacks that were seen, outermost first, and how often each was."""
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        raise ProfileError("py-spy is not installed: pip install --group bench")
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as directory:
        raw = Path(directory) / "stacks"
        argv = (spy, "record", "--pid", str(pid), "--duration", str(_SECONDS), "--rate", str(_RATE), "--format", "raw")
        process = await asyncio.create_subprocess_exec(
            *argv,
            "--nonblocking",  # a stopped process would be late with everything
            "--output",
            str(raw),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        out = raw.read_text() if raw.exists() else ""
    lines = [line.rsplit(" ", 1) for line in out.splitlines() if line.rsplit(" ", 1)[-1].isdigit()]
    if process.returncode != 0 or not lines:
        raise ProfileError(f"py-spy could not look at a process: {errors.decode()[-500:]}")
    return [(stack.split(";"), int(count)) for stack, count in lines]


def _sum(stacks: list[tuple[list[str], int]]) -> str:
    every = sum(count for _, count in stacks)
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, count in stacks:
        # Without line numbers: `name (file:line)`.
        names = [name.rpartition(":")[0] + ")" for name in stack]
        own[names[-1]] += count
        for name in set(names):
            whole[name] += count
    rows = [f"  {count / every:6.1%} {whole[name] / every:6.1%}  {name}" for name, count in own.most_common(_ROWS)]
    return "\n".join(rows)
