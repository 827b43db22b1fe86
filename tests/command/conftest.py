import signal
from collections.abc import Iterator

import pytest

from tests.command.andon_command import STARTED
from tests.command.dev_stack import DevStack


@pytest.fixture(autouse=True)
def _no_command_left() -> Iterator[None]:
    """End what a failed test left running; `dev`, below, is older than any test."""
    before = len(STARTED)
    yield
    for command in STARTED[before:]:
        command.end()


@pytest.fixture(scope="session")
def dev() -> Iterator[DevStack]:
    """Run `andon dev` once for all tests that only use it; it has to end with 0."""
    stack = DevStack.start("--rate", "100")
    yield stack
    stack.command.signal(signal.SIGTERM)
    assert stack.command.wait().code == 0
