"""Tokens, good and bad, over both doors."""

import base64
from typing import Final

import httpx2
import msgspec
import pytest
from openai import AsyncOpenAI, AuthenticationError, DefaultAsyncHttpxClient

from tests.auth.handshakes import as_browser, by_header
from tests.auth.tokens import RSA, SECRET, bearer, token
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def _unsigned(alg: str) -> str:
    claims = token().split(".")[1]
    return f"{_segment({'alg': alg, 'typ': 'JWT'})}.{claims}."


def _tampered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{token('mallory').split('.')[1]}.{signature}"


# What is wrong with a token, and the words of the answer that say so.
BAD: Final = {
    "expired": (token(lasts_s=-60), "has expired"),
    "not_yet_valid": (token(nbf=2**33), "not valid yet"),
    "made_in_the_future": (token(iat=2**33), "not valid yet"),
    "wrong_key": (token(key="another-secret-of-enough-bytes-01234"), "signature or form"),
    "tampered": (_tampered(), "signature or form"),
    "wrong_audience": (token(aud="another"), "another audience"),
    "wrong_issuer": (token(iss="https://evil.example"), "another issuer"),
    "no_expiry": (token(without=("exp",)), "no `exp`"),
    "no_subject": (token(without=("sub",)), "no `sub`"),
    "no_audience": (token(without=("aud",)), "no `aud`"),
    "no_issuer": (token(without=("iss",)), "no `iss`"),
    "alg_none": (_unsigned("none"), "another algorithm"),
    "alg_None": (_unsigned("None"), "another algorithm"),
    "other_algorithm": (token(algorithm="HS512", key=SECRET * 2), "another algorithm"),
    "asymmetric": (token(algorithm="RS256", key=RSA), "another algorithm"),
    "empty_subject": (token(""), "`sub`"),
    "long_subject": (token("x" * 300), "`sub`"),
    "unprintable_subject": (token("a\nb"), "`sub`"),
    "lone_surrogate": (token("\ud800"), "`sub`"),
    "empty_tenant": (token(tenant=""), "`tenant`"),
    "tenant_no_text": (token(tenant=7), "`tenant`"),  # type: ignore[arg-type]
    "scopes_no_words": (token(scope={"andon:admin:all": True}), "`scope`"),
    "no_jwt": ("no.jwt.at-all", "no JWT"),
    "opaque": ("0123456789abcdef", "no JWT"),
    "too_long": ("x" * 8001, "expected `Bearer <token>`"),
}

ENDPOINTS: Final = [
    ("GET", "/v1/responses?session=s"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/responses/resp_x"),
    ("POST", "/v1/responses/resp_x/cancel"),
    ("POST", "/v1/sessions/s/stop"),
]


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_token_opens_neither_door(http: httpx2.AsyncClient, stack: Stack, what: str) -> None:
    """401 with OpenAI's shape, what is wrong with it, and never the token; nothing of a request is read before."""
    text, why = BAD[what]
    stack.secrets.add(text)
    for method, path in ENDPOINTS:
        answer = await http.request(method, path, headers=bearer(text), content=b"no json" if method == "POST" else b"")
        assert answer.status_code == 401, path
        error = answer.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("authentication_error", "invalid_token", None)
        assert why in error["message"]
        assert text not in answer.text
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    refused = await by_header(stack.gateways[1].url, text)
    assert refused == (401, "invalid_token", 'Bearer error="invalid_token"')


@pytest.mark.parametrize("what", sorted(BAD.keys() - {"too_long"}))
async def test_a_browser_is_told_as_an_event_and_by_the_close(stack: Stack, what: str) -> None:
    """It cannot see a status: the socket opens, says what is wrong, and closes with 3000."""
    text, why = BAD[what]
    refused = await as_browser(stack.gateways[0].url, "andon.v1", f"bearer.{text}")
    assert refused is not None
    event, close = refused
    assert (event["type"], event["status"], event["error"]["code"]) == ("error", 401, "invalid_token")
    assert why in event["error"]["message"]
    assert close == (3000, "invalid_token")


async def test_no_token_is_asked_for_one(http: httpx2.AsyncClient, stack: Stack) -> None:
    """Of the scheme alone: RFC 6750 wants no error code where nothing was tried."""
    answer = await http.post("/v1/responses", json=Prompt().body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert await by_header(stack.gateways[0].url, None) == (401, "missing_token", "Bearer")
    refused = await as_browser(stack.gateways[0].url, "andon.v1")
    assert refused is not None
    assert (refused[0]["error"]["code"], refused[1]) == ("missing_token", (3000, "missing_token"))


@pytest.mark.parametrize("value", ["Bearer", "Basic YTpi", "Token abc", "bearer a b", "abc"])
async def test_a_malformed_header_is_told_so(http: httpx2.AsyncClient, stack: Stack, value: str) -> None:
    """And what it should be."""
    answer = await http.get("/v1/responses?session=s", headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
    assert "`Bearer <token>`" in answer.json()["error"]["message"]
    assert (await by_header(stack.gateways[0].url, None, Authorization=value) or (0,))[0] == 401


async def test_two_tokens_are_one_too_many(http: httpx2.AsyncClient, stack: Stack) -> None:
    """Which of them counts would be a guess."""
    headers = [("Authorization", f"Bearer {token('alice')}"), ("Authorization", f"Bearer {token('bob')}")]
    answer = await http.get("/v1/responses?session=s", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
    refused = await as_browser(stack.gateways[0].url, "andon.v1", f"bearer.{token('a')}", f"bearer.{token('b')}")
    assert refused is not None
    assert refused[1] == (3000, "invalid_token")


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_token_in_the_query_is_refused_and_not_repeated(
    http: httpx2.AsyncClient, stack: Stack, name: str
) -> None:
    """Even a good one, and even beside one in the header: by then it stands in somebody's log."""
    good = token()
    stack.secrets.add(good)
    answer = await http.get(f"/v1/responses?session=s&{name}={good}", headers=bearer(good))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "token_in_query")
    assert answer.json()["error"]["param"] == name
    assert good not in answer.text
    url = f"{stack.gateways[0].url}?{name}={good}"
    assert await by_header(url, good) == (400, "token_in_query", None)
    refused = await as_browser(url, "andon.v1", f"bearer.{good}")
    assert refused is not None
    assert good not in str(refused)
    assert refused[1] == (3003, "token_in_query")


async def test_a_bad_query_is_told_to_a_browser_too(stack: Stack) -> None:
    """Every refusal is, not only those of tokens."""
    refused = await as_browser(f"{stack.gateways[0].url}?on_stop=never", "andon.v1", f"bearer.{token()}")
    assert refused is not None
    assert (refused[0]["status"], refused[0]["error"]["param"]) == (400, "on_stop")
    assert refused[1] == (3003, "invalid_value")


async def test_a_good_token_opens_the_socket_for_browsers(stack: Stack) -> None:
    """By subprotocol; ours is selected, never the one with the token."""
    assert await as_browser(stack.gateways[0].url, "andon.v1", f"bearer.{token()}") is None
    assert await as_browser(stack.gateways[0].url, f"bearer.{token()}", "andon.v1") is None


async def test_a_token_by_subprotocol_needs_ours_beside_it(stack: Stack) -> None:
    """Otherwise nothing could be selected, and a browser would fail the handshake."""
    refused = await by_header(stack.gateways[0].url, None, **{"Sec-WebSocket-Protocol": f"bearer.{token()}"})
    assert refused is not None
    assert refused[:2] == (401, "invalid_token")


@pytest.mark.parametrize(
    "scope", ["andon:admin other", ["andon:admin"], " andon:admin ", ["x", "andon:admin"]], ids=str
)
async def test_scopes_are_words_in_a_string_or_a_list(stack: Stack, http: httpx2.AsyncClient, scope: object) -> None:
    """As issuers write them."""
    async with stack.connect_as(token("alice", "scoped"), 0) as client:
        response_id = await client.start(Prompt(tokens=5000, rate=100).body)
        stopped = await http.post(f"/v1/responses/{response_id}/cancel", headers=bearer(token("olga", "scoped", scope)))
        assert stopped.json()["stop"]["by"] == "olga"
        await client.ending(response_id)


async def test_a_token_without_a_tenant_is_of_the_default_one(stack: Stack, http: httpx2.AsyncClient) -> None:
    """Where there is only one tenant, issuers need not name it."""
    operator = token("olga", "default", "andon:admin")
    async with stack.connect_as(token("dora", without=("tenant", "scope")), 0) as client:
        response_id = await client.start(Prompt(tokens=5000, rate=100).body)
        stopped = await http.post(f"/v1/responses/{response_id}/cancel", headers=bearer(operator))
        assert stopped.status_code == 200
        await client.ending(response_id)


async def test_the_official_sdk_sends_its_key_as_the_token(stack: Stack) -> None:
    """`api_key` is the token, over both doors; a bad one is the SDK's AuthenticationError, at once."""
    base_url = f"{stack.gateways[0].http}/v1"
    async with (
        DefaultAsyncHttpxClient(verify=False) as http,
        AsyncOpenAI(base_url=base_url, api_key=token(), http_client=http) as good,
        AsyncOpenAI(base_url=base_url, api_key=token(lasts_s=-60), http_client=http) as bad,
    ):
        answer = await good.responses.create(model="sim", input="hello")
        assert answer.status == "completed"
        async with good.responses.connect() as connection:
            await connection.send({"type": "response.create", "model": "sim", "input": "hello"})
            assert (await connection.recv()).type == "response.created"
        with pytest.raises(AuthenticationError, match="has expired"):
            await bad.responses.create(model="sim", input="hello")
