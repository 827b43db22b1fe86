"""Requests: what the published OpenAPI allows, and what it does not, from schemathesis.

Owns the strategies over the document that a gateway serves, and the judgement of each answer: its status is one that
the document has for the operation, its body and its headers are of the published shape, and a failure is a known one.
"""

from typing import Any, Final, TypeAlias, cast

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from andon.pieces import Cause
from tests.fuzz import size
from tests.fuzz.frames import CHEAP

AnyCase: TypeAlias = Case[Any]
_WAIT_S: Final = 30.0
_BAD_GATEWAY: Final = 502


def load(url: str) -> Any:
    """Read the document that a gateway serves."""
    with requests.Session() as session:
        session.trust_env = False
        return schemathesis.openapi.from_dict(session.get(f"{url}/openapi.json", timeout=_WAIT_S).json())


def cases(schema: Any) -> st.SearchStrategy[AnyCase]:
    """Draw requests to any operation: such as the document allows, and such as it does not."""
    return st.one_of(
        schema.as_strategy(generation_mode=GenerationMode.POSITIVE),
        schema.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    ).map(_made_cheap)


def _made_cheap(case: AnyCase) -> AnyCase:
    """Have whatever is created end within a moment: the sim is told so, where that changes nothing else."""
    if isinstance(case.body, dict) and isinstance(case.body.get("metadata", {}), dict | None):
        body = cast("dict[str, Any]", case.body)
        body["metadata"] = {**(body.get("metadata") or {}), **CHEAP}
    return case


def ask(case: AnyCase, url: str, session: requests.Session) -> None:
    """Send a request, read the whole answer, and judge it."""
    size.sent["request"] += 1
    answer = case.call(base_url=url, session=session, timeout=_WAIT_S, allow_redirects=False)
    size.answered[f"status {answer.status_code}"] += 1
    if answer.status_code >= 500:
        _check_failure(case, answer.json()["error"])
    if answer.status_code in {404, 405} and _code(answer) in {"unknown_url", "method_not_allowed"}:
        return  # a path parameter that leads elsewhere: no operation was asked
    case.validate_response(answer, checks=_CHECKS)
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE and answer.status_code == 400:
        _check_refusal(case, answer.json()["error"])


def _code(answer: Any) -> str | None:
    code: str | None = answer.json()["error"]["code"]
    return code


def _check_failure(case: AnyCase, error: dict[str, Any]) -> None:
    """Nothing is our fault: only a chat's failed response has a status of this kind, and it names its cause."""
    assert case.path == "/v1/chat/completions", error
    assert error["type"] in set(Cause), error


def _check_refusal(case: AnyCase, error: dict[str, Any]) -> None:
    """What the document allows is refused for what a document cannot say: what is stored, or two names of one thing."""
    if case.path == "/v1/chat/completions":
        return  # what a message holds is not in the document
    if error["message"].endswith("got `float`."):
        return  # 1.0 is an integer to a schema
    assert error["code"] == "previous_response_not_found" or error["param"] == "session", error


def _check(name: str) -> Any:
    return CHECKS.get_one(name)


schemathesis.checks.load_all_checks()
_CHECKS: Final = [
    _check(name)
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]
