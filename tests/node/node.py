"""Node: runs a script of ours on the pinned Node, with the pinned packages.

Owns the child process for the length of a block, and its words: a script prints JSON lines, and reads JSON lines from
its standard input. Does not own what a script does.

Guarantees: nothing of the machine's Node is used; the child dies with the test process; leaving the block ends it.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from andon.supervised import tied_argv
from tests.node.install import BINARY, HERE, install

_LINE_S = 30.0
_END_S = 30.0
_LINE_BYTES = 16 * 1024 * 1024


class Script:
    """A running script."""

    def __init__(self, child: asyncio.subprocess.Process, errors: "asyncio.Task[bytes]") -> None:
        self._child = child
        self._errors = errors  # reads what it writes to its standard error, to the end

    async def next(self, kind: str) -> dict[str, Any]:
        """Wait for the next line whose `kind` is this one, and return it. Fails if the script ends instead."""
        assert self._child.stdout is not None
        async with asyncio.timeout(_LINE_S):
            while line := await self._child.stdout.readline():
                said: dict[str, Any] = msgspec.json.decode(line)
                if said["kind"] == kind:
                    return said
            await self._child.wait()
            raise AssertionError(f"it ended with {self._child.returncode}:\n{(await self._errors).decode()}")

    async def say(self, **words: Any) -> None:
        """Write one JSON line to its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.write(msgspec.json.encode(words) + b"\n")
        await self._child.stdin.drain()

    async def ended(self) -> None:
        """Wait until it has ended by itself. Fails if it failed."""
        async with asyncio.timeout(_END_S):
            await self._child.wait()
            errors = (await self._errors).decode()
        assert self._child.returncode == 0, errors
        assert not errors, errors  # a warning of Node's would be one, too


@dataclass(frozen=True, slots=True)
class Node:
    """The pinned Node. `home`: the directory whose `node_modules` holds the pinned packages."""

    binary: Path
    home: Path

    @asynccontextmanager
    async def run(self, script: Path, *args: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Script]:
        """Run a script for the length of a block."""
        child = await asyncio.create_subprocess_exec(
            *tied_argv([str(self.binary), "--import", str(HERE / "resolve.mjs"), str(script), *args]),
            env={**os.environ, "TEST_NODE_HOME": str(self.home), **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        assert child.stderr is not None
        errors = asyncio.ensure_future(child.stderr.read())
        try:
            yield Script(child, errors)
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()
            await errors


def find() -> Node:
    """Return the pinned Node, its packages installed."""
    return Node(BINARY, install())
