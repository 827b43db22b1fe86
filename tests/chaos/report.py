"""Report: the table of a full run, on the screen and in docs/reliability.md.

Owns the tables' form. The words around them are in the document itself: a run replaces what stands between the two
marks of the servers that it was played on.
"""

import datetime as dt
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.account import Row
from tests.chaos.scenarios import ALL, SCENARIOS
from tests.depth import FULL
from tests.stack.topologies import CHOSEN

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN: Final = f"<!-- chaos on {CHOSEN}: begin -->"
_END: Final = f"<!-- chaos on {CHOSEN}: end -->"
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
    """Tell whether every scenario that can be played here was, with the full load."""
    return FULL and {row.scenario for row in rows} == {scenario.name for scenario in SCENARIOS}


def write(rows: Sequence[Row]) -> None:
    """Replace the table in the document."""
    now = dt.datetime.now(dt.UTC)
    leases = " or ".join(f"{lease_s:g} s" for lease_s in sorted({row.lease_s for row in rows}))
    ran = f"Run on {now:%Y-%m-%d} with Python {platform.python_version()}, lease {leases}."
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n{ran}\n\n{table(rows)}\n\n{_legend()}\n{_END}{after}", "utf-8")


def _legend() -> str:
    """Say what was broken; beside what the table of the one server has told, and what could not be."""
    fresh = [each for each in SCENARIOS if CHOSEN == "standalone" or "standalone" in each.elsewhere]
    lines = ["What was broken:" if CHOSEN == "standalone" else "What was broken beside the above:", ""]
    lines += [f"- `{scenario.name}`: {scenario.what}" for scenario in fresh]
    reasons: dict[str, list[str]] = {}
    for scenario in ALL:
        if scenario.why_not_here is not None:
            reasons.setdefault(scenario.why_not_here, []).append(f"`{scenario.name}`")
    lines += ["", "Not played here:", "", *(f"- {', '.join(names)}: {why}." for why, names in reasons.items())]
    return "\n".join(lines)
