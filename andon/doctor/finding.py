"""Finding: what one look has found, and what to do about it."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    # Nothing was looked at: it does not concern this place, or something else must be mended first.
    SKIPPED = "skipped"
    WARN = "warn"
    FAIL = "fail"
    # The look itself broke: our bug.
    BROKEN = "broken"


_SEVERITY = list(Verdict)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `remedy`: one line, for whatever is not as it should be."""

    verdict: Verdict
    found: str
    remedy: str | None = None
    # The check that found it, put in by the examination.
    check: str = ""


def ok(found: str) -> Finding:
    """Say that it is well."""
    return Finding(verdict=Verdict.OK, found=found)


def skipped(found: str) -> Finding:
    """Say why nothing was looked at."""
    return Finding(verdict=Verdict.SKIPPED, found=found)


def warn(found: str, remedy: str) -> Finding:
    """Say what works and may not work tomorrow."""
    return Finding(verdict=Verdict.WARN, found=found, remedy=remedy)


def fail(found: str, remedy: str) -> Finding:
    """Say what is to be mended."""
    return Finding(verdict=Verdict.FAIL, found=found, remedy=remedy)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict; ok where there are none."""
    return max((finding.verdict for finding in findings), key=_SEVERITY.index, default=Verdict.OK)
