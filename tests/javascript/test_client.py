"""The JavaScript client on Node's own test runner: its own tests, and those against two real gateways."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.javascript.control import controlled
from tests.javascript.runner import CLIENT, run_tests
from tests.node.node import Node
from tests.stack.stack import Stack

_HERE = Path(__file__).parent
# A Node takes seconds to start where the machine is loaded, and each file holds many tests.
pytestmark = pytest.mark.timeout(180)


async def test_its_parts(node: Node) -> None:
    """On a clock and a network of the tests' own: nothing waits."""
    await run_tests(node, *sorted((CLIENT / "test").glob("*.test.js")))


async def test_it_keeps_its_promises_on_a_bad_network(node: Node, stack: Stack) -> None:
    """Storms, resume, stops, aborts, half-open networks: no gap, no duplicate, one run."""
    async with controlled(stack) as control:
        await run_tests(node, _HERE / "gateways.test.js", env={"TEST_CONTROL": str(control.port)})


async def test_it_outlives_gateways(node: Node, own_stack: Callable[..., AbstractAsyncContextManager[Stack]]) -> None:
    """1012, 3008, a frozen process, a store that loses a response."""
    env = {"ANDON_DRAIN_S": "5", "ANDON_SLOW_READER_S": "1", "ANDON_OUTBOX_BYTES": str(64 * 1024)}
    async with own_stack(**env) as stack, controlled(stack) as control:
        await run_tests(node, _HERE / "ends.test.js", env={"TEST_CONTROL": str(control.port)})


async def test_it_obeys_every_close_code(node: Node) -> None:
    """What a gateway seldom sends, from a scripted server: 1013, 3000, 3003, the token's renewal."""
    await run_tests(node, _HERE / "scripted.test.js")
