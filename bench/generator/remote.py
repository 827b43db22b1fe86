"""Remote: a load generator in a process of its own, as the bench holds it.

Owns the process: it ends with the block, whatever happens. Guarantees that a command which could not be done raises.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from bench.generator.commands import Answer, Attach, Close, Command, Open, Start, StopAll, TakeLook
from bench.generator.crowd import Look
from bench.generator.stream import StreamError

_PATIENCE_S = 180.0
_LINE_BYTES = 1 << 24
_decode = msgspec.json.Decoder(Answer).decode


class Generator:
    """The process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        # Seconds of CPU it has used, as of its last answer.
        self.cpu_s = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def open(self, count: int) -> float:
        """Open more sockets; return how many seconds it took."""
        return (await self._do(Open(count))).seconds or 0.0

    async def start(self, rate: float, tokens: int, *, hold_s: float = 0.0) -> None:
        """Let every socket without one ask for a response, and wait for their first tokens."""
        await self._do(Start(rate, tokens, hold_s))

    async def attach(self, response_id: str) -> None:
        """Let every socket follow one response."""
        await self._do(Attach(response_id))

    async def look(self, *, ages: bool = False) -> Look:
        """Tell what came since the last look; keep ages for the next if asked to. Raises if a client dropped out."""
        look = (await self._do(TakeLook(ages))).look
        assert look is not None
        if look.failures:
            raise StreamError(look.failures[0])
        return look

    async def stop(self) -> dict[str, int]:
        """Stop all responses at once, wait for their ends; return by key when each stop was sent."""
        stops = (await self._do(StopAll())).stops
        assert stops is not None
        return stops.sent_us

    async def close(self) -> None:
        """Drop all sockets."""
        await self._do(Close())

    async def _do(self, command: Command) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        async with asyncio.timeout(_PATIENCE_S):
            line = await self._process.stdout.readline()
        if not line:
            raise StreamError("the load generator ended")
        answer = _decode(line)
        self.cpu_s = answer.cpu_s
        if answer.error is not None:
            raise StreamError(answer.error)
        return answer


@asynccontextmanager
async def generator(name: str, ports: Sequence[int]) -> AsyncIterator[Generator]:
    """Run a load generator for the contender `name`, whose gateways listen at `ports`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.generator",
        name,
        *map(str, ports),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        yield Generator(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
