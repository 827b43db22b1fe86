"""The report of a run: how much was sent, what came back, and from which seed."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.fuzz import size


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Lend a loop to what hypothesis calls: it knows no coroutines."""
    with asyncio.Runner() as runner:
        yield runner


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was done."""
    if size.sent:
        terminalreporter.section("fuzz")
        terminalreporter.write_line(f"seed {size.SEED} (ANDON_FUZZ_SEED repeats it), {sum(size.sent.values())} inputs")
        if size.FULL and sum(size.sent.values()) < size.FULL_INPUTS:
            terminalreporter.write_line(f"fewer than the {size.FULL_INPUTS} of a full run")
        for title, counted in (("sent", size.sent), ("answered", size.answered)):
            told = ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))
            terminalreporter.write_line(f"{title}: {told}")
