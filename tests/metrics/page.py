"""Page: docs/metrics.md, read.

Owns the reading of its tables. Does not own what is true.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from andon.pieces import Cause

_TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """A metric as the page has it."""

    kind: str
    labels: frozenset[str]
    of: str


def rows() -> dict[str, Row]:
    """Return the metrics of the page."""
    found = re.findall(r"(?m)^\| `(andon_\w+)` \| (\w+) \|([^|]*)\| (gateway|worker|both) \|", _TEXT)
    return {name: Row(kind, frozenset(re.findall(r"`(\w+)`", labels)), of) for name, kind, labels, of in found}


def label_values() -> dict[tuple[str, str], frozenset[str]]:
    """Return the closed sets of the page by metric and label."""
    found = {
        (name, label): frozenset(re.findall(r"`(\w+)`", values))
        for name, label, values in re.findall(r"(?m)^\| `(andon_\w+)` \| `(\w+)` \| ([^|]*) \|$", _TEXT)
    }
    paths = re.findall(r"(?m)^\| `(\w+)` \| [^|]* \|$", _TEXT)
    found["andon_stops_total", "path"] = frozenset(paths)
    found["andon_stop_to_closed_seconds", "path"] = frozenset(paths[:4])
    found["andon_upstream_errors_total", "cause"] = frozenset(Cause)
    return found


def series() -> dict[str, Row]:
    """Return what a query may name: the metrics, a histogram's by its three series."""
    found: dict[str, Row] = {}
    for name, row in rows().items():
        if row.kind == "histogram":
            found[f"{name}_bucket"] = Row(row.kind, row.labels | {"le"}, row.of)
            found[f"{name}_sum"] = found[f"{name}_count"] = row
        else:
            found[name] = row
    return found
