"""The doctor as tests ask it: in this process, and what it says of one check."""

from collections.abc import Mapping

from andon.doctor.examination import examine
from andon.doctor.finding import Finding, Verdict
from andon.doctor.site import Order

PATIENCE_S = 20.0  # for a machine that is short of CPU; what hangs on purpose is asked with less


class Findings(list[Finding]):
    """All findings of one examination."""

    def of(self, check: str) -> list[Finding]:
        """Return those of one check."""
        found = [finding for finding in self if finding.check == check]
        assert found, f"no check {check}: {sorted({finding.check for finding in self})}"
        return found

    def bad(self, check: str, verdict: Verdict = Verdict.FAIL) -> str:
        """Return what is wrong by one check, with its remedy, in lower case; there must be exactly one such finding."""
        (finding,) = (finding for finding in self.of(check) if finding.verdict is verdict)
        assert finding.remedy, finding
        return f"{finding.found} → {finding.remedy}".lower()

    def to_mend(self) -> list[Finding]:
        """Return whatever is not as it should be."""
        return [finding for finding in self if finding.remedy is not None]


async def examined(
    environ: Mapping[str, str],
    *gateways: str,
    token: str | None = None,
    model: str | None = "sim",
    stops: bool = False,
    role: str = "both",
    patience_s: float = PATIENCE_S,
) -> Findings:
    """Have everything examined."""
    found = await examine(
        Order(
            environ=environ,
            gateways=gateways,
            token=token,
            model=model,
            stops=stops,
            role=role,
            patience_s=patience_s,
        ),
        lambda _: None,
    )
    assert not [finding for finding in found if finding.verdict is Verdict.BROKEN], found
    return Findings(found)
