"""Bad requests: each is refused with its status and OpenAI's error body, and names what to mend."""

from typing import Any

import httpx2
import pytest

from andon.settings import Settings
from tests.stack.prompt import Prompt

_HELLO = {"model": "sim", "input": "hello"}


def _check(reply: httpx2.Response, status: int, code: str, param: str | None) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert error["message"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": "hello"}, "missing_required_parameter", "model"),
        ({"model": "sim"}, "missing_required_parameter", "input"),
        ({"model": 7, "input": "hello"}, "invalid_type", "model"),
        ({**_HELLO, "stream": "yes"}, "invalid_type", "stream"),
        ({**_HELLO, "background": 1}, "invalid_type", "background"),
        ({**_HELLO, "on_disconnect": "never"}, "invalid_value", "on_disconnect"),
        ({**_HELLO, "on_disconnect": ["stop"]}, "invalid_value", "on_disconnect"),
        ({**_HELLO, "abandon_s": "soon"}, "invalid_type", "abandon_s"),
        ({**_HELLO, "generate": False}, "unsupported_parameter", "generate"),
        ({**_HELLO, "previous_response_id": "resp_1"}, "previous_response_not_found", "previous_response_id"),
    ],
)
async def test_a_bad_member_is_named(http: httpx2.AsyncClient, body: dict[str, Any], code: str, param: str) -> None:
    """400 before anything is created."""
    _check(await http.post("/v1/responses", json=body), 400, code, param)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(http: httpx2.AsyncClient, content: bytes) -> None:
    """No JSON, no object, nothing at all."""
    reply = await http.post("/v1/responses", content=content)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] in {"invalid_json", "missing_required_parameter"}


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_beyond_the_bound_is_refused(http: httpx2.AsyncClient, is_announced: bool) -> None:
    """413, by its announced length or as soon as it has come to more; the bound is named."""
    size_bytes = Settings().max_frame_bytes + 1

    async def chunks() -> Any:
        for _ in range(size_bytes // 65536 + 1):
            yield b" " * 65536

    content = b" " * size_bytes if is_announced else chunks()
    try:
        reply = await http.post("/v1/responses", content=content)
    except (httpx2.WriteError, httpx2.ReadError):
        return  # the door was closed while the client still talked: it got the answer, its library dropped it
    _check(reply, 413, "body_too_large", None)


@pytest.mark.parametrize(
    ("query", "headers", "param"),
    [
        ("?session=", {}, "session"),
        (f"?session={'x' * 129}", {}, "session"),
        ("", {"X-Andon-Session": "x" * 129}, "session"),
        ("?session=one", {"X-Andon-Session": "two"}, "session"),
        ("", {"Idempotency-Key": "k" * 256}, "Idempotency-Key"),
    ],
)
async def test_a_bad_query_or_header_is_named(
    http: httpx2.AsyncClient, query: str, headers: dict[str, str], param: str
) -> None:
    """Session and key have their bounds."""
    reply = await http.post(f"/v1/responses{query}", json=_HELLO, headers=headers)
    _check(reply, 400, "invalid_value", param)


async def test_a_get_without_upgrade_and_session_says_what_there_is(http: httpx2.AsyncClient) -> None:
    """The socket's own address, visited by a browser."""
    _check(await http.get("/v1/responses"), 400, "missing_required_parameter", "session")


@pytest.mark.parametrize("after", ["x", "1.5", str(10**30), "9" * 5000, "100000"])
async def test_a_number_that_was_never_sent_is_refused(http: httpx2.AsyncClient, after: str) -> None:
    """`starting_after` beyond what there is would wait for ever."""
    created = (await http.post("/v1/responses", json=Prompt(tokens=1).body)).json()
    reply = await http.get(f"/v1/responses/{created['id']}", params={"stream": "true", "starting_after": after})
    _check(reply, 400, "invalid_value", "starting_after")


async def test_a_bad_switch_is_refused(http: httpx2.AsyncClient) -> None:
    """`stream` is true or false."""
    created = (await http.post("/v1/responses", json=Prompt(tokens=1).body)).json()
    _check(await http.get(f"/v1/responses/{created['id']}?stream=maybe"), 400, "invalid_value", "stream")


async def test_an_unknown_path_and_a_wrong_method_have_openais_body(http: httpx2.AsyncClient) -> None:
    """404 and 405, JSON as everything else."""
    _check(await http.get("/v1/nothing"), 404, "unknown_url", None)
    reply = await http.delete("/v1/responses/resp_1")
    _check(reply, 405, "method_not_allowed", None)
    assert reply.headers["allow"]


async def test_a_reason_that_is_no_text_is_refused(http: httpx2.AsyncClient) -> None:
    """The stop's own body is checked as well."""
    created = (await http.post("/v1/responses", json=Prompt(tokens=1).body)).json()
    _check(await http.post(f"/v1/responses/{created['id']}/cancel", json={"reason": 1}), 400, "invalid_type", "reason")
