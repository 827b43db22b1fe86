"""Report: how findings are told, and which exit code they come to.

Owns the lines for people, as they come, and the JSON for machines, at the end.
"""

import json
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import msgspec

from andon.doctor.finding import Finding, Verdict, worst

_MARKS: Final = {
    Verdict.OK: "ok  ",
    Verdict.SKIPPED: "-   ",
    Verdict.WARN: "WARN",
    Verdict.FAIL: "FAIL",
    Verdict.BROKEN: "BUG ",
}
_NAME_COLUMNS: Final = 16


class ExitCode(IntEnum):
    """What the command ends with."""

    WELL = 0
    MEND = 1
    COULD_NOT_RUN = 2


def exit_code(findings: Sequence[Finding], *, strict: bool) -> ExitCode:
    """Return the exit code; `strict`: a warning is something to mend."""
    verdict = worst(findings)
    if verdict is Verdict.BROKEN:
        return ExitCode.COULD_NOT_RUN
    is_to_mend = verdict is Verdict.FAIL or (strict and verdict is Verdict.WARN)
    return ExitCode.MEND if is_to_mend else ExitCode.WELL


def as_text(finding: Finding) -> str:
    """Write one finding for people: what was looked at and found, and on a line of its own what to do."""
    line = f"{_MARKS[finding.verdict]} {finding.check:<{_NAME_COLUMNS}} {finding.found}"
    return line if finding.remedy is None else f"{line}\n     {'':<{_NAME_COLUMNS}} → {finding.remedy}"


def summary(findings: Sequence[Finding]) -> str:
    """Say it in a line."""
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    bad = counts[Verdict.FAIL] + counts[Verdict.BROKEN]
    warnings = f"{counts[Verdict.WARN]} warnings" if counts[Verdict.WARN] != 1 else "1 warning"
    if bad:
        return f"{bad} to mend, {warnings}"
    return f"nothing to mend, {warnings}" if counts[Verdict.WARN] else "all is well"


def as_json(findings: Sequence[Finding], *, took_s: float) -> str:
    """Write all of it for a machine."""
    return json.dumps(
        {
            "object": "doctor.report",
            "verdict": worst(findings),
            "summary": summary(findings),
            "took_s": round(took_s, 3),
            "findings": msgspec.to_builtins(list(findings)),
        }
    )
