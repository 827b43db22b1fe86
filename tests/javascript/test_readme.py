"""The README's example for Node is run as it stands there."""

import re
from pathlib import Path

import pytest

from tests.javascript.runner import CLIENT, run
from tests.node.node import Node
from tests.stack.stack import Stack


@pytest.mark.timeout(120)
async def test_the_example_for_node_runs(node: Node, stack: Stack, tmp_path: Path) -> None:
    """It prints the text, and what was settled; the test's answers are as long as its patience, so it may complete."""
    example = re.search(r"## Node\n.*?```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert example is not None
    program = tmp_path / "hello.mjs"
    program.write_text(example[1].replace('"andon-client"', f'"{(CLIENT / "index.js").as_uri()}"'))
    said = await run(node, str(program), env={"ANDON_URL": stack.gateways[0].http})
    assert re.search(r"\n (cancelled|completed) \d+ tokens\n", said), said
