"""Consultation: one visit of the doctor, told to whoever asked for it.

Owns what is told and when, to a person line by line, to a machine at the end, and what the visit comes to. Does not own
the looking, nor the words (`andon.doctor`).
"""

import asyncio
import sys
import time

from andon.doctor.examination import examine
from andon.doctor.finding import Finding
from andon.doctor.gateway import gateway_at
from andon.doctor.report import ExitCode, as_json, as_text, exit_code, summary
from andon.doctor.site import Order
from andon.errors import AndonError
from andon.logs import configure_logs


def consult(order: Order, *, strict: bool, for_machines: bool) -> ExitCode:
    """Have the deployment looked at, and tell what is found; return what the command ends with.

    `strict`: a warning is something to mend.
    """
    configure_logs("error")  # what a connection says of itself are other words for what is found
    try:
        for url in order.gateways:
            gateway_at(url, order.token)  # a wrong one is told before anything else is
        findings = _told_at_the_end(order) if for_machines else _told_line_by_line(order)
    except AndonError as error:
        print(f"andon doctor: {error}", file=sys.stderr)
        return ExitCode.COULD_NOT_RUN
    return exit_code(findings, strict=strict)


def _told_line_by_line(order: Order) -> list[Finding]:
    if order.stops:
        print("a real response will be made and stopped: that costs some tokens (--no-stop: none)")
    findings = asyncio.run(examine(order, lambda finding: print(as_text(finding), flush=True)))
    print(f"\n{summary(findings)}")
    return findings


def _told_at_the_end(order: Order) -> list[Finding]:
    began = time.monotonic()
    findings = asyncio.run(examine(order, lambda _: None))
    print(as_json(findings, took_s=time.monotonic() - began))
    return findings
