"""Runner: Node's own test runner, on one file of tests.

Owns the child process. Guarantees: it dies with the test process; what it said is the failure's message.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from andon.supervised import tied_argv
from tests.node.install import HERE as NODE_HOME
from tests.node.node import Node

CLIENT = Path(__file__).parents[2] / "clients" / "js"
_SHOWN_CHARS = 20_000
# Of one test on Node: it ends well within pytest's own bound, and is named then.
_TEST_MS = 45_000


async def run_tests(node: Node, *files: Path, env: Mapping[str, str] | None = None) -> None:
    """Run these files of tests, one after another in one process. Fails with what they said if one failed."""
    options = ["--test", "--test-isolation=none", "--test-force-exit", f"--test-timeout={_TEST_MS}"]
    text = await run(node, *options, "--test-reporter=spec", *map(str, files), env=env)
    assert "tests 0" not in text, text


async def run(node: Node, *args: str, env: Mapping[str, str] | None = None) -> str:
    """Run Node with these arguments to its end, and return what it said. Fails with that if it failed."""
    child = await asyncio.create_subprocess_exec(
        *tied_argv([str(node.binary), "--import", str(NODE_HOME / "resolve.mjs"), *args]),
        env={**os.environ, "TEST_NODE_HOME": str(node.home), **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    text = said.decode(errors="replace")
    assert child.returncode == 0, text[-_SHOWN_CHARS:]
    return text
