"""Report: the table of a full run, on the screen and in docs/reliability.md.

Owns the table's form. The words around it are in the document itself, between whose two marks the table is replaced.
"""

import datetime as dt
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.account import Row
from tests.chaos.scenarios import SCENARIOS
from tests.depth import FULL
from tests.stack.topologies import CHOSEN

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
# The environment's word for all scenarios with the full load.
_BEGIN: Final = "<!-- chaos: begin -->"
_END: Final = "<!-- chaos: end -->"
_HEADS: Final = (
    "scenario", "streams", "stops", "stops lost", "bad endings", "left open", "after the mark", "longest, s",
    "median, ms", "1011", "reconnects",
)  # fmt: skip


def table(rows: Iterable[Row]) -> str:
    """Lay out rows as a Markdown table."""
    lines = [_HEADS, tuple("---" if n == 0 else "---:" for n in range(len(_HEADS)))]
    lines += [_cells(row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    counts = (row.streams, row.stops, row.stops_lost, row.bad_endings, row.left_open, row.after_mark)
    times = (f"{row.longest_s:.3f}", f"{1000 * row.median_s:.1f}")
    return (f"`{row.scenario}`", *map(str, counts), *times, str(row.job_lost), str(row.reconnects))


def is_full(rows: Iterable[Row]) -> bool:
    """Tell whether every scenario was run, with the full load, on what the document is about."""
    return (
        FULL and CHOSEN == "standalone" and {row.scenario for row in rows} == {scenario.name for scenario in SCENARIOS}
    )


def write(rows: Sequence[Row]) -> None:
    """Replace the table in the document."""
    now = dt.datetime.now(dt.UTC)
    ran = f"Run on {now:%Y-%m-%d} with Python {platform.python_version()}, lease {rows[0].lease_s:g} s."
    broken = "\n".join(f"- `{scenario.name}`: {scenario.what}" for scenario in SCENARIOS)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{ran}\n\n{table(rows)}\n\nWhat was broken:\n\n{broken}\n{_END}{after}", "utf-8")
