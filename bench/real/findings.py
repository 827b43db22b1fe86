"""What the runs found: the figures, the judgement, the table.

Owns when the measurement counts as failed, and how the figures look in Markdown. Does no I/O but to the one page that
holds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.real.part import RealError

MARGIN_TOKENS = 3  # computed but not delivered, at a stop, must be fewer: what was on its way when it came
_BEGIN, _END = "<!-- figures: written by make real -->", "<!-- end of figures -->"
_HEADINGS = (
    "run",
    "tokens computed by the server",
    "tokens delivered to the client",
    "text deltas",
    "usage settled",
    "stop recorded to upstream closed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. Tokens `computed` are from the server's counter; `delivered` is the text, by the model's tokenizer."""

    stopped_after_s: float | None  # None: run to its end
    status: str
    computed: int
    delivered: int
    deltas: int
    usage_output_tokens: int | None
    usage_source: str | None
    elapsed_s: float
    recorded_to_closed_ms: float | None


def check(runs: Sequence[Run]) -> None:
    """Raise RealError, with the first thing that is not as promised. `runs`: the one to the end first."""
    full, *stopped = runs
    if full.status not in {"completed", "incomplete"}:  # incomplete: cut by our own max_output_tokens
        raise RealError(f"the run to the end ended as {full.status}")
    if (full.usage_source, full.usage_output_tokens) != ("upstream", full.computed):
        raise RealError(
            f"the server computed {full.computed} tokens; {full.usage_output_tokens} were settled ({full.usage_source})"
        )
    for run in stopped:
        after = f"the run stopped after {run.stopped_after_s:g} s"
        if run.status != "cancelled":
            raise RealError(f"{after} ended as {run.status}, not cancelled")
        if run.recorded_to_closed_ms is None:
            raise RealError(f"{after}: nobody told when its upstream was closed")
        if run.computed >= run.delivered + MARGIN_TOKENS:
            raise RealError(f"{after} cost {run.computed} tokens, {run.delivered} were delivered")
        if run.computed >= full.computed:
            raise RealError(f"{after} cost as much as the run to the end")


def table(runs: Sequence[Run]) -> str:
    """Return the figures as a Markdown table."""
    rows = [_HEADINGS, ("---", *("---:",) * (len(_HEADINGS) - 1)), *map(_row, runs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(page: Path, figures: str) -> None:
    """Put `figures` into the place for them on `page`. Raises RealError if the page has none."""
    text = page.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise RealError(f"{page} has no place for the figures, between {_BEGIN!r} and {_END!r}")
    page.write_text(f"{before}{begin}\n\n{figures}\n\n{end}{after}")


def _row(run: Run) -> tuple[str, ...]:
    closed = run.recorded_to_closed_ms
    return (
        "to the end" if run.stopped_after_s is None else f"stopped after {run.stopped_after_s:g} s",
        str(run.computed),
        str(run.delivered),
        str(run.deltas),
        f"{run.usage_output_tokens} ({run.usage_source})",
        "" if closed is None else f"{closed:.1f} ms",
    )
