"""A prepared request is the one that the SDK would make."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import openai
import pytest

from andon.pieces import Cause
from andon.tracing import Kind, TraceContext, start
from tests.worker.upstream.conftest import API_KEY
from tests.worker.upstream.connections import assert_gone, assert_nothing_in_use, transport_of, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer
from worker.upstream.client import UpstreamClient, UpstreamPath
from worker.upstream.errors import UpstreamError

BODY: dict[str, Any] = {"model": "m", "input": "Grüße", "stream": True}
# Of each request's own.
OWN = {"content-length", "traceparent", "tracestate", "cookie"}


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[UpstreamClient]:
    server.script = whole
    async with UpstreamClient(max_connections=4, base_url=f"{server.base_url}/deep", api_key=API_KEY) as made:
        yield made


async def whole(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.chunk(b"data: 1\n\n")
    await exchange.end()


async def ask(client: UpstreamClient, path: UpstreamPath = "/responses", body: Mapping[str, Any] = BODY) -> bytes:
    async with client.stream(path, body) as stream:
        return b"".join([chunk async for chunk in stream])


@pytest.fixture
def by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the requests that the SDK made."""
    paths: list[str] = []
    post = openai.AsyncOpenAI.post

    async def noted(self: openai.AsyncOpenAI, path: str, **kwargs: Any) -> Any:
        paths.append(path)
        return await post(self, path, **kwargs)

    monkeypatch.setattr(openai.AsyncOpenAI, "post", noted)
    return paths


@pytest.mark.parametrize("path", ["/responses", "/chat/completions"])
async def test_it_is_the_request_that_the_sdk_would_make(
    server: ModelServer, client: UpstreamClient, path: UpstreamPath, by_the_sdk: list[str]
) -> None:
    """Target, headers and body, each and all; only the first of a path costs what the SDK costs."""
    sdk = client._sdk  # noqa: SLF001
    sdk.organization, sdk._custom_headers = "org-1", {"X-Own": "kept"}  # noqa: SLF001
    assert [await ask(client, path) for _ in range(3)] == [b"data: 1\n\n"] * 3
    assert by_the_sdk == [path]
    made, *prepared = server.exchanges
    assert made.headers["authorization"] == f"Bearer {API_KEY}"
    assert made.headers["x-own"] == "kept"
    assert made.headers["openai-organization"] == "org-1"
    for exchange in prepared:
        assert exchange.path == made.path
        assert exchange.headers == made.headers
        assert exchange.body == BODY


async def test_a_body_of_another_length_is_sent_whole(server: ModelServer, client: UpstreamClient) -> None:
    """Its length is its own, in bytes."""
    bodies: list[dict[str, Any]] = [BODY, {"input": "ü" * 100_000}, {}]
    for body in bodies:
        await ask(client, body=body)
    assert [exchange.body for exchange in server.exchanges] == bodies


async def test_the_trace_is_of_the_run_that_asks(server: ModelServer, client: UpstreamClient) -> None:
    """A request is prepared from one of another run, whose trace it must not carry."""
    traces = [
        f"00-{'1' * 32}-{'2' * 16}-01 a=b",
        f"00-{'3' * 32}-{'4' * 16}-01",
        "",
        f"00-{'5' * 32}-{'6' * 16}-01 a=b",
    ]
    for trace in traces:
        with start("run", Kind.CLIENT, TraceContext(trace), {}).active():
            await ask(client)
    sent = [
        f"{exchange.headers.get('traceparent', '')} {exchange.headers.get('tracestate', '')}".strip()
        for exchange in server.exchanges
    ]
    assert sent == traces


async def test_another_key_makes_the_request_anew(
    server: ModelServer, client: UpstreamClient, by_the_sdk: list[str]
) -> None:
    """Whoever rotates the SDK's key rotates that of the next request."""
    await ask(client)
    client._sdk.api_key = "sk-another"  # noqa: SLF001
    await ask(client)
    await ask(client)
    assert [exchange.headers["authorization"] for exchange in server.exchanges] == [
        f"Bearer {key}" for key in (API_KEY, "sk-another", "sk-another")
    ]
    assert len(by_the_sdk) == 2


async def test_a_refusal_is_the_same_error_and_makes_the_next_request_anew(
    server: ModelServer, client: UpstreamClient, by_the_sdk: list[str]
) -> None:
    """Its status, its body and its Retry-After are read as those of a request that the SDK made."""
    await ask(client)

    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(429, b'{"error": {"message": "slow down"}}', extra="retry-after: 7\r\n")

    server.script = refuse
    errors = []
    for _ in range(2):
        with pytest.raises(UpstreamError) as caught:
            await ask(client)
        errors.append(caught.value)
    prepared, made = errors
    assert len(by_the_sdk) == 2
    assert prepared.failure == made.failure
    assert prepared.failure.cause is Cause.UPSTREAM_RATE_LIMITED
    assert (prepared.retryable, prepared.retry_after_s) == (made.retryable, made.retry_after_s) == (True, 7.0)
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_an_answer_that_is_no_stream_is_left(server: ModelServer, client: UpstreamClient) -> None:
    """Its connection is closed, though its body goes on."""
    await ask(client)

    async def go_on(exchange: Exchange) -> None:
        await exchange.start(kind="application/json")
        await exchange.wait_client_gone()

    server.script = go_on
    with pytest.raises(UpstreamError) as caught:
        await ask(client)
    assert caught.value.failure.cause is Cause.UPSTREAM_GARBAGE
    await assert_gone(server.exchanges[-1])
    assert_nothing_in_use(client)


async def test_a_redirect_is_the_sdks_to_follow(
    server: ModelServer, client: UpstreamClient, by_the_sdk: list[str]
) -> None:
    """It is followed as ever, and what was prepared is prepared no more: it would be redirected each time."""
    await ask(client)

    async def elsewhere(exchange: Exchange) -> None:
        if exchange.path.startswith("/elsewhere"):
            await whole(exchange)
        else:
            await exchange.answer(307, b"", extra=f"location: http://127.0.0.1:{server.port}/elsewhere\r\n")

    server.script = elsewhere
    assert await ask(client) == b"data: 1\n\n"
    assert await ask(client) == b"data: 1\n\n"
    assert len(by_the_sdk) == 3
    assert server.exchanges[-1].path == "/elsewhere"
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_a_cookie_is_sent_back(server: ModelServer, client: UpstreamClient) -> None:
    """As httpx2 does: what stands before a model server may know its own by it."""

    async def give(exchange: Exchange) -> None:
        await exchange.start(extra=f"set-cookie: seen={len(server.exchanges)}; path=/\r\n")
        await exchange.end()

    server.script = give
    for _ in range(3):
        await ask(client)
    assert [exchange.headers.get("cookie") for exchange in server.exchanges] == [None, "seen=1", "seen=2"]


async def test_a_prepared_request_needs_no_other_task(client: UpstreamClient) -> None:
    """Where a connection waits, it is sent in the turn in which it is asked for."""
    await ask(client)
    await until_settled(client)
    assert transport_of(client).in_use == 0
    asking = asyncio.create_task(ask(client))
    await asyncio.sleep(0)
    assert transport_of(client).in_use == 1
    assert not client._tasks  # noqa: SLF001
    assert await asking == b"data: 1\n\n"
