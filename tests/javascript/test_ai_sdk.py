"""The transport for the AI SDK's `useChat`, under the real `ai` package, each major that it promises."""

from pathlib import Path

import pytest

from tests.javascript.control import controlled
from tests.javascript.runner import run_tests
from tests.node.node import Node
from tests.stack.stack import Stack


@pytest.mark.timeout(180)
@pytest.mark.parametrize("ai", ["ai6", "ai7"])
async def test_usechat_stops_and_resumes_at_the_same_time(node: Node, stack: Stack, ai: str) -> None:
    """Stop; reload and resume; stop the resumed stream; a resume that is superseded stops nothing."""
    async with controlled(stack) as control:
        env = {"TEST_CONTROL": str(control.port), "TEST_AI": ai}
        await run_tests(node, Path(__file__).with_name("ai-sdk.test.js"), env=env)
