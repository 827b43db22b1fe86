"""`andon doctor` as a process: what it prints, and its exit codes."""

import asyncio
import json
from collections.abc import Callable

import pytest

from andon.doctor.checks import environment
from andon.doctor.examination import CHECKS, REACH
from andon.doctor.finding import Finding, Verdict
from andon.doctor.report import exit_code
from andon.embedded import EmbeddedValkey
from tests.command.andon_command import Done, andon, free_ports
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(300)  # a command is a process, and a machine may be starved

Start = Callable[..., EmbeddedValkey]
# A dozen looks, a response and its stop: seconds, and many more where others take the cores.
_WITHIN_S = 120.0


async def doctor(*words: str, **env: str) -> Done:
    return await asyncio.to_thread(andon, "doctor", "--patience", "20", *words, env=env, within_s=_WITHIN_S)


async def test_a_deployment_that_is_well_is_exit_code_0(well: Stack) -> None:
    """A line a check, what it costs said first, and the sum at the end."""
    words = [word for gateway in well.gateways for word in ("--gateway", gateway.http)]
    env = well.environment()
    ours = {name: value for name, value in env.items() if name.startswith(("ANDON_", "OPENAI_"))}
    done = await doctor(*words, "--model", "sim", **ours)
    assert done.code == 0, done.out + done.err
    assert done.err == ""
    first, *lines = done.out.splitlines()
    assert "costs some tokens" in first
    assert all(any(f" {check.name} " in line for line in lines) for check in CHECKS)
    assert done.out.splitlines()[-1].startswith(("all is well", "nothing to mend"))


async def test_something_to_mend_is_exit_code_1_and_a_remedy(redis: Start) -> None:
    """An unknown setting is found, by name, and hides nothing else; a password is not shown."""
    server = redis(maxmemory_policy="allkeys-lru")
    url = server.url.replace("unix://", "unix://nobody:s3cret-word@")
    done = await doctor(ANDON_REDIS_URL=url, ANDON_LEASES="7", ANDON_DRAIN_S="-4")
    assert done.code == 1
    assert "FAIL settings         unknown setting ANDON_LEASES: did you mean ANDON_LEASE_S?" in done.out
    assert "bad setting ANDON_DRAIN_S='-4'" in done.out
    assert "→ rename or remove ANDON_LEASES" in done.out
    assert "FAIL reach" in done.out  # there is no such user
    assert "s3cret-word" not in done.out + done.err


async def test_for_machines_it_is_one_json_object(redis: Start) -> None:
    """Every check with its verdict; whatever is to be mended with its remedy."""
    done = await doctor("--json", ANDON_REDIS_URL=redis(maxmemory_policy="allkeys-lru").url)
    told = json.loads(done.out)
    assert (done.code, told["object"], told["verdict"]) == (1, "doctor.report", "fail")
    by_check = {finding["check"]: finding for finding in told["findings"]}
    assert set(by_check) == {environment.NAME, REACH, *(check.name for check in CHECKS)}
    assert by_check["eviction"]["verdict"] == "fail"
    assert "noeviction" in by_check["eviction"]["remedy"]
    assert by_check["version"]["remedy"] is None


@pytest.mark.parametrize(
    ("verdicts", "code", "strictly"),
    [
        ((), 0, 0),
        ((Verdict.OK, Verdict.SKIPPED), 0, 0),
        ((Verdict.WARN, Verdict.OK), 0, 1),
        ((Verdict.WARN, Verdict.FAIL), 1, 1),
        ((Verdict.FAIL, Verdict.BROKEN), 2, 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(verdicts: tuple[Verdict, ...], code: int, strictly: int) -> None:
    """Warnings count only when strict; a check that broke is no judgement of the deployment."""
    findings = [Finding(verdict=verdict, found="") for verdict in verdicts]
    assert (exit_code(findings, strict=False), exit_code(findings, strict=True)) == (code, strictly)


async def test_what_cannot_be_looked_at_is_exit_code_2() -> None:
    """An address that is none, as an option that is none."""
    done = await doctor("--gateway", "ftp://here", ANDON_REDIS_URL=f"redis://127.0.0.1:{free_ports()}/0")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "no address of a gateway" in done.err
