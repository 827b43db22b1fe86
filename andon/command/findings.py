"""What the experiment found: the figures, the verdict, the table.

Owns when a demo counts as failed. Does no I/O but printing.
"""

import dataclasses
import json
from dataclasses import dataclass

from andon.command.failure import CommandFailed

MARGIN_TOKENS = 3  # generated but not delivered, at a stop, must be fewer: what was on its way when it came
_BAR_CELLS = 26  # the table fits 80 columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. Tokens `generated` are upstream's, as `generated_by` tells; `delivered` ones reached the client."""

    response_id: str
    status: str
    generated: int
    generated_by: str
    delivered: int
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Both runs, and how long the stop took; a time is None where nobody could tell."""

    full: Run
    stopped: Run
    stop_after_s: float
    # From the mark in Redis to the worker's closing of its upstream connection.
    recorded_to_closed_ms: float | None
    # From the stop leaving the client to the sim seeing its connection closed.
    sent_to_meter_closed_ms: float | None
    metered: bool

    def check(self) -> None:
        """Raise CommandFailed, with the first thing that is not as promised."""
        full, stopped = self.full, self.stopped
        if full.status not in {"completed", "incomplete"}:  # incomplete: cut by our own max_output_tokens
            raise CommandFailed(f"the run to the end ended as {full.status}")
        if stopped.status != "cancelled":
            raise CommandFailed(f"the stopped run ended as {stopped.status}, not cancelled")
        if not self.metered:
            return
        if full.generated != full.delivered:
            raise CommandFailed(f"of {full.generated} tokens generated {full.delivered} were delivered")
        if self.sent_to_meter_closed_ms is None:
            raise CommandFailed("the sim never saw its connection closed")
        if stopped.generated >= stopped.delivered + MARGIN_TOKENS:
            raise CommandFailed(
                f"the stopped run cost {stopped.generated} tokens upstream, {stopped.delivered} were delivered"
            )


def tell(findings: Findings, *, as_json: bool) -> None:
    """Print the figures: JSON for programs, a table with bars for people."""
    if as_json:
        print(json.dumps(dataclasses.asdict(findings)))
        return
    from rich.console import Console  # noqa: PLC0415 - only a person needs it
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    table.add_column("generated", justify="right", no_wrap=True)
    table.add_column("delivered", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max(findings.full.generated, findings.stopped.generated, 1)
    for name, run in (("to the end", findings.full), (f"stopped after {findings.stop_after_s:g} s", findings.stopped)):
        cells = round(_BAR_CELLS * run.generated / most)
        bar = f"[green]{'█' * cells}[/green][dim]{'░' * (_BAR_CELLS - cells)}[/dim]"
        table.add_row(name, str(run.generated), str(run.delivered), f"{run.elapsed_s:.1f}", bar)
    console = Console(highlight=False)
    console.print()
    console.print(table)
    for line in _lines(findings):
        console.print(line, soft_wrap=True)


def _lines(findings: Findings) -> list[str]:
    full, stopped = findings.full, findings.stopped
    counted = {full.generated_by, stopped.generated_by}
    lines = ["", f"Tokens generated upstream, by {' and '.join(sorted(counted))}; delivered to the client."]
    if findings.recorded_to_closed_ms is not None:
        lines.append(f"Stop recorded to upstream closed: {findings.recorded_to_closed_ms:.1f} ms (the worker's clock).")
    if findings.sent_to_meter_closed_ms is not None:
        lines.append(f"Stop sent to connection gone: {findings.sent_to_meter_closed_ms:.1f} ms (the sim's meter).")
    if full.generated:
        saved = full.generated - stopped.generated
        lines.append(f"The stop saved {saved} of {full.generated} tokens ({100 * saved / full.generated:.0f} %).")
    return lines
