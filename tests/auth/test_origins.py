"""Origins: which web pages may call."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest

from tests.auth.conftest import PAGE
from tests.auth.handshakes import as_browser, by_header
from tests.auth.tokens import bearer, token
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


def _own(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.gateways[0].port}"


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        (None, True),
        (PAGE, True),
        (PAGE.upper().replace("HTTPS", "https"), True),
        ("own", True),
        ("https://evil.example", False),
        (PAGE + ".evil.example", False),
        (PAGE.replace("https", "http"), False),
        (PAGE + ":8443", False),
        ("http://127.0.0.1:1", False),
        ("http://127.0.0.1:nine", False),
        ("null", False),
        ("", False),
    ],
)
async def test_a_page_calls_from_the_own_host_or_an_allowed_origin(
    stack: Stack, http: httpx2.AsyncClient, origin: str | None, is_let_in: bool
) -> None:
    """Programs send none. Another page is 403 over either door, its visitor's good token notwithstanding."""
    if origin == "own":
        origin = _own(stack)
    headers = bearer(token()) if origin is None else {**bearer(token()), "Origin": origin}
    answer = await http.get("/v1/responses?session=s", headers=headers)
    refused = await by_header(stack.gateways[0].url, token(), origin=origin)
    if is_let_in:
        assert (answer.status_code, refused) == (200, None)
        return
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert answer.json()["error"]["type"] == "permission_error"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert refused == (403, "origin_not_allowed", "Bearer")
    told = await as_browser(stack.gateways[0].url, "andon.v1", f"bearer.{token()}", origin=origin)
    assert told is not None
    assert told[1] == (3003, "origin_not_allowed")


async def test_an_allowed_page_may_ask_with_every_header_and_read_the_answer(
    stack: Stack, http: httpx2.AsyncClient
) -> None:
    """The preflight of the official SDK passes, and the response's id can be read."""
    del stack
    wanted = "authorization,content-type,idempotency-key,x-andon-session,x-stainless-lang,x-stainless-retry-count"
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    preflight = await http.options("/v1/responses", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert set(wanted.split(",")) <= set(preflight.headers["Access-Control-Allow-Headers"].split(","))
    headers = {**bearer(token()), "Origin": PAGE}
    answer = await http.post("/v1/responses", json=Prompt().body, headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Andon-Response-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    failed = await http.get("/v1/responses/resp_x", headers={"Origin": PAGE})
    assert (failed.status_code, failed.headers["Access-Control-Allow-Origin"]) == (401, PAGE)


async def test_a_page_that_leaves_its_stream_still_stops_it(stack: Stack, http: httpx2.AsyncClient) -> None:
    """What the CORS headers pass through does not hide the leaving of the client."""
    prompt = Prompt(tokens=5000, rate=100)
    headers = {**bearer(token()), "Origin": PAGE}
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}, headers=headers) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        async for line in answer.aiter_lines():
            if "output_text.delta" in line:
                break
    assert (await stack.meter.ended(prompt.key)).ended_at is not None


@pytest.mark.parametrize("header", ["Host", "Origin"])
async def test_without_tokens_a_page_calls_only_under_a_name_of_this_machine(own_stack: _OwnStack, header: str) -> None:
    """A name that a stranger lets point here (DNS rebinding) makes page and host the same: not the machine's own."""
    async with own_stack(gateways=1, workers=0) as stack:
        gateway = stack.gateways[0]
        evil = f"evil.example:{gateway.port}"
        headers = {"Host": evil, "Origin": f"http://{evil}"} if header == "Host" else {"Origin": "https://evil.example"}
        async with httpx2.AsyncClient(base_url=gateway.http, verify=False, trust_env=False) as http:
            for method, path in (("GET", "/v1/responses?session=s"), ("POST", "/v1/responses")):
                answer = await http.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
            own = await http.get("/v1/responses?session=s", headers={"Origin": _own(stack)})
            assert own.status_code == 200
            assert "Access-Control-Allow-Origin" not in own.headers
        assert await by_header(gateway.url, None, origin=_own(stack)) is None


async def test_a_star_lets_any_page_call(own_stack: _OwnStack) -> None:
    """Said aloud."""
    async with own_stack(gateways=1, workers=0, ANDON_ALLOWED_ORIGINS="*") as stack:
        assert await by_header(stack.gateways[0].url, None, origin="https://any.example") is None
        async with httpx2.AsyncClient(base_url=stack.gateways[0].http, verify=False, trust_env=False) as http:
            answer = await http.get("/v1/responses?session=s", headers={"Origin": "https://any.example"})
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
