"""Faults of the model server: found without a token spent, and without showing the key."""

from typing import Any

import pytest

from andon.doctor.finding import Finding, Verdict
from tests.doctor.clinic import Findings, examined
from tests.doctor.model_server import model_server
from tests.stack.ports import free_port

KEY = "sk-very-secret-key-of-the-model"
MODELS = {"data": [{"id": "small"}, {"id": "large"}]}


async def asked(base_url: str, *, model: str | None = None, role: str = "worker", **env: str) -> Findings:
    """Ask with nothing else there: Redis is elsewhere, and that is no matter of the model server's."""
    environ = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": KEY, "ANDON_REDIS_URL": "unix:///nowhere.sock", **env}
    found = await examined({name: value for name, value in environ.items() if value}, model=model, role=role)
    assert KEY not in str(found)
    return found


def only(found: Findings) -> Finding:
    (finding,) = found.of("upstream")
    return finding


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/models": (401, {"error": {"message": f"bad key {KEY}"}})}, "refuses the key (401)|openai_api_key"),
        ({"/models": (403, {})}, "refuses the key (403)|openai_api_key"),
        ({"/models": (503, "overloaded")}, "fails (503)|look at the model server"),
        ({"/models": (200, "<html>")}, "no list of models|/v1 missing"),
        ({"/models": (200, MODELS)}, "no model 'huge'|small, large"),
        ({"/chat/completions": (400, {})}, "neither /models nor /responses|andon_upstream_api"),
        ({"/responses": (401, {})}, "refuses the key (401)|openai_api_key"),
    ],
    ids=["401", "403", "503", "html", "model", "another API", "401 to nothing"],
)
async def test_a_server_that_will_not_do(answers: dict[str, tuple[int, Any]], words: str) -> None:
    """Each in its own words."""
    async with model_server(answers) as server:
        told = (await asked(server.base_url, model="huge")).bad("upstream")
    for word in words.split("|"):
        assert word in told


@pytest.mark.parametrize("answers", [{"/models": (200, MODELS)}, {"/responses": (422, {})}], ids=["lists", "refuses"])
async def test_a_server_that_will(answers: dict[str, tuple[int, Any]]) -> None:
    """By its list, or by its refusal of an empty request where it has no list: then nothing more is asked of it."""
    async with model_server(answers) as server:
        finding = only(await asked(server.base_url, model="small"))
    assert finding.verdict is Verdict.OK
    assert server.asked == (["GET /v1/models"] if "/models" in answers else ["GET /v1/models", "POST /v1/responses"])


async def test_nobody_there() -> None:
    """A port where nobody listens, a name that does not exist, an address that is none."""
    assert "nobody listens" in (await asked(f"http://127.0.0.1:{free_port()}/v1")).bad("upstream")
    assert "not known here" in (await asked("http://no-such-host.invalid/v1")).bad("upstream")
    assert "no address of http" in (await asked("api.openai.com")).bad("upstream")


async def test_no_key() -> None:
    """A worker would not start. Beside a gateway there is none, and need not be."""
    assert "is not set" in (await asked("", OPENAI_API_KEY="")).bad("upstream")
    assert only(await asked("", OPENAI_API_KEY="", role="both")).verdict is Verdict.SKIPPED
    assert only(await asked("", role="gateway")).verdict is Verdict.SKIPPED


async def test_a_source_of_ones_own_is_looked_for_and_not_called() -> None:
    """To call it would be to spend."""
    there = await asked("", ANDON_UPSTREAM_API="tests.own.functions:never_called")
    assert only(there).verdict is Verdict.OK
    missing = await asked("", ANDON_UPSTREAM_API="no_such_package:answer")
    assert "pythonpath" in missing.bad("upstream")
