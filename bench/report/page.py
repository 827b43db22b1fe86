"""Page: docs/performance.md, whose figures the bench writes and whose words people write.

Owns the place between the markers, and nothing else of the page.
"""

from pathlib import Path
from typing import Final

from bench.report.plots import plots
from bench.report.tables import every
from bench.results import Results

_BEGIN: Final = "<!-- figures: written by make bench -->"
_END: Final = "<!-- end of figures -->"


class PageError(Exception):
    """The page has no place for the figures."""


def text(results: Results) -> str:
    """Return all tables, each under its heading."""
    return "\n\n".join(f"### {heading}\n\n{body}" for heading, body in every(results))


def write(results: Results, docs: Path) -> None:
    """Put tables and plots into the page and beside it. Raises PageError."""
    page = docs / "performance.md"
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise PageError(f"{page} has no place for the figures, between {_BEGIN!r} and {_END!r}")
    directory = docs / "performance"
    directory.mkdir(exist_ok=True)
    images = []
    for name, title, svg in plots(results):
        (directory / name).write_text(svg)
        images.append(f"![{title}](performance/{name})")
    made = results.machine
    told = (
        f"{made.made}, commit {made.commit}; {made.cpus} cores ({made.cpu}), {made.kernel}; {made.python}, "
        f"{made.redis}; {results.seconds / 60:.0f} minutes, load average {made.load:.1f} as it began. "
        + " ".join(f"{results.titles[name]}: {version}." for name, version in results.versions.items())
    )
    figures = "\n\n".join([told, *images, text(results)])
    page.write_text(f"{before}{begin}\n\n{figures}\n\n{end}{after}")
