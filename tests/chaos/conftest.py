"""The rows of a run, and their table at its end."""

from typing import Final

import pytest

from tests.chaos import report
from tests.chaos.account import Row

_ROWS: Final = pytest.StashKey[list[Row]]()


@pytest.fixture
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """Gather rows over the whole run."""
    return pytestconfig.stash.setdefault(_ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table; write it to the document after a full run."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("chaos")
        terminalreporter.write_line(report.table(rows))
        if report.is_full(rows):
            report.write(rows)
            terminalreporter.write_line(f"written to {report.PAGE}")
