import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from andon.pieces import Cause
from tests.worker.upstream.conftest import API_KEY
from tests.worker.upstream.connections import assert_gone, assert_nothing_in_use, kept_by, plug_of, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer
from worker.upstream.client import UpstreamClient
from worker.upstream.errors import UpstreamError, UpstreamMisconfiguredError

BODY: dict[str, Any] = {"model": "m", "input": "x", "stream": True}


async def failure_of(client: UpstreamClient) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        async with client.stream("/responses", BODY):
            pass
    await until_settled(client)
    assert_nothing_in_use(client)
    return caught.value


def answering(*args: Any, **kwargs: Any) -> Callable[[Exchange], Awaitable[None]]:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(*args, **kwargs)

    return script


async def trickle(exchange: Exchange) -> None:
    """Send the head and one chunk, then wait for the client to go."""
    await exchange.start()
    await exchange.chunk(b"data: 1\n\n")
    await exchange.wait_client_gone()


async def silence(exchange: Exchange) -> None:
    """Never answer; wait for the client to go."""
    await exchange.wait_client_gone()


async def stutter(exchange: Exchange) -> None:
    """Send a few chunks, with pauses."""
    await exchange.start()
    for _ in range(5):
        await exchange.chunk(b"data: 1\n\n")
        await asyncio.sleep(0.001)
    await exchange.end()


async def whole(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.chunk(b"one")
    await exchange.chunk(b"two")
    await exchange.end()


@asynccontextmanager
async def client_for(base_url: str, **kwargs: Any) -> AsyncIterator[UpstreamClient]:
    async with UpstreamClient(max_connections=4, base_url=base_url, api_key=API_KEY, **kwargs) as made:
        yield made


async def test_the_bytes_come_as_they_are_and_the_connection_is_used_again(
    server: ModelServer, client: UpstreamClient
) -> None:
    """The request is what the SDK would send; a body that was read whole costs no connection."""
    server.script = whole
    for _ in range(3):
        async with client.stream("/responses", BODY) as stream:
            assert stream.status == 200
            assert b"".join([chunk async for chunk in stream]) == b"onetwo"
    assert server.connections == 1
    exchange = server.exchanges[0]
    assert exchange.path == "/v1/responses"
    assert exchange.body == BODY
    assert exchange.headers["authorization"] == f"Bearer {API_KEY}"
    assert exchange.headers["accept"] == "text/event-stream"
    assert exchange.headers["accept-encoding"] == "identity"
    assert exchange.headers["content-type"] == "application/json"


async def test_a_chunk_is_given_before_the_next_is_sent(server: ModelServer, client: UpstreamClient) -> None:
    """Nothing waits for a buffer to fill."""
    server.script = trickle
    async with client.stream("/chat/completions", BODY) as stream:
        async with asyncio.timeout(1):
            assert await anext(stream) == b"data: 1\n\n"
    assert server.exchanges[0].path == "/v1/chat/completions"


async def test_leaving_the_stream_closes_the_connection(server: ModelServer, client: UpstreamClient) -> None:
    """Also when the body was not read."""
    server.script = trickle
    async with client.stream("/responses", BODY) as stream:
        await anext(stream)
    await assert_gone(server.exchanges[0])
    assert_nothing_in_use(client)


async def test_close_ends_a_read_of_another_task_and_is_idempotent(server: ModelServer, client: UpstreamClient) -> None:
    """The reader's iteration just ends: whoever closed knows why."""
    server.script = trickle
    async with client.stream("/responses", BODY) as stream:
        await anext(stream)
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            reader = group.create_task(anext(stream, b"ended"))
            await asyncio.sleep(0)  # one turn of the loop: the reader is in its read
            await asyncio.gather(stream.close(), stream.close())
            await assert_gone(server.exchanges[0])
        assert reader.result() == b"ended"
        assert stream.closed
        assert [chunk async for chunk in stream] == []
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_the_server_sees_a_close_before_the_loop_turns(server: ModelServer, client: UpstreamClient) -> None:
    """The socket is shut down by the call itself, not by a task that waits its turn."""
    server.script = trickle
    async with client.stream("/responses", BODY) as stream:
        await anext(stream)
        plug = plug_of(stream)
        with socket.fromfd(plug.fileno(), plug.family, plug.type) as duplicate:
            stream.cut()
            assert duplicate.recv(1, socket.MSG_DONTWAIT) == b""  # an open connection would block


async def test_a_released_stream_gives_its_connection_back(server: ModelServer, client: UpstreamClient) -> None:
    """The end of a finished body is read in the background."""
    server.script = whole
    for _ in range(2):
        async with client.stream("/responses", BODY) as stream:
            await anext(stream)
            stream.release()
        await until_settled(client)
    assert server.connections == 1
    assert_nothing_in_use(client)


async def test_a_released_stream_that_goes_on_is_closed(server: ModelServer, client: UpstreamClient) -> None:
    """A server that sends more after the finish does not keep its connection."""
    server.script = trickle
    async with client.stream("/responses", BODY) as stream:
        await anext(stream)
        stream.release()
    await until_settled(client)
    async with asyncio.timeout(1):
        await server.exchanges[0].client_gone.wait()
    assert_nothing_in_use(client)


@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("script", [silence, trickle])
async def test_cancelling_closes_the_connection(
    server: ModelServer, client: UpstreamClient, script: Callable[[Exchange], Awaitable[None]], cancels: int
) -> None:
    """Before the headers and within the body; also when the cancel is repeated a turn of the loop later."""
    server.script = script
    entered = asyncio.Event()

    async def read() -> None:
        async with client.stream("/responses", BODY) as stream:
            async for _ in stream:
                entered.set()

    task = asyncio.create_task(read())
    exchange = await server.requests.get()
    if script is trickle:
        await entered.wait()
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_gone(exchange)
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_cancelling_a_loop_body_repeatedly_leaks_nothing(server: ModelServer, client: UpstreamClient) -> None:
    """The case that leaves a stale request in the library's pool when its close is cancelled."""
    server.script = trickle
    for cancels in range(1, 5):
        reading = asyncio.Event()

        async def read(reading: asyncio.Event = reading) -> None:
            async with client.stream("/responses", BODY) as stream:
                async for _ in stream:
                    reading.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await reading.wait()
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_settled(client)
        assert_nothing_in_use(client)


async def test_two_hundred_cancels_at_any_point_leave_no_connection_and_no_request(
    server: ModelServer, client: UpstreamClient
) -> None:
    """Whatever the point, a further request works afterwards, and the server has no client left."""
    server.script = stutter
    chance = random.Random(20261122)

    async def read() -> None:
        async with client.stream("/responses", BODY) as stream:
            async for _ in stream:
                await asyncio.sleep(0)

    async def cancel(task: asyncio.Task[None]) -> None:
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.004)
        task.cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
            task.cancel()

    for _ in range(25):
        tasks = [asyncio.create_task(read()) for _ in range(8)]
        for task in chance.sample(tasks, k=8):
            await cancel(task)
        await asyncio.gather(*tasks, return_exceptions=True)
    await until_settled(client)
    assert_nothing_in_use(client)
    server.script = whole
    async with client.stream("/responses", BODY) as stream:
        assert b"".join([chunk async for chunk in stream]) == b"onetwo"
    async with asyncio.timeout(1):
        await server.until_at_most(kept_by(client))


@pytest.mark.parametrize(
    ("status", "code", "cause", "retryable"),
    [
        (400, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (401, "server_error", Cause.UPSTREAM_UNAUTHORIZED, False),
        (404, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (429, "rate_limit_exceeded", Cause.UPSTREAM_RATE_LIMITED, True),
        (500, "server_error", Cause.UPSTREAM_ERROR, True),
    ],
)
async def test_a_refusal_is_one_error_of_ours(
    server: ModelServer, client: UpstreamClient, *, status: int, code: str, cause: Cause, retryable: bool
) -> None:
    """With the upstream's words, without the key, and without a retry of the SDK's own."""
    said = f'{{"error":{{"message":"No: {API_KEY}"}}}}'.encode()
    server.script = answering(status, said, extra="retry-after: 3\r\n")
    error = await failure_of(client)
    assert (error.failure.code, error.failure.cause, error.retryable) == (code, cause, retryable)
    assert API_KEY not in error.failure.message
    assert ("No: [redacted]" in error.failure.message) is (status != 401)
    assert error.retry_after_s == (3 if retryable else None)
    assert len(server.exchanges) == 1


async def test_an_error_body_without_end_is_not_read_to_its_end(server: ModelServer, client: UpstreamClient) -> None:
    """A broken proxy fills no memory and holds no slot."""

    async def pour(exchange: Exchange) -> None:
        await exchange.start(502, kind="text/html")
        while True:
            await exchange.chunk(b"x" * 65536)

    server.script = pour
    async with asyncio.timeout(2):
        assert (await failure_of(client)).failure.cause is Cause.UPSTREAM_ERROR


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/html"])
async def test_an_answer_that_is_no_stream_is_garbage(server: ModelServer, client: UpstreamClient, kind: str) -> None:
    """A wrong base URL is seen at once."""
    server.script = answering(200, b"{}", kind=kind)
    error = await failure_of(client)
    assert (error.failure.cause, error.retryable) == (Cause.UPSTREAM_GARBAGE, False)
    assert "OPENAI_BASE_URL" in error.failure.message


async def test_a_compressed_answer_is_garbage(server: ModelServer, client: UpstreamClient) -> None:
    """It was not asked for, and its bytes are no events."""
    server.script = answering(200, b"x", kind="text/event-stream", extra="content-encoding: gzip\r\n")
    assert (await failure_of(client)).failure.cause is Cause.UPSTREAM_GARBAGE


async def test_a_redirect_to_nowhere_is_an_error(server: ModelServer, client: UpstreamClient) -> None:
    """A redirect with an address is followed, as the SDK does; this has none."""
    server.script = answering(302, b"")
    assert (await failure_of(client)).failure.cause is Cause.UPSTREAM_REJECTED


async def test_headers_that_never_come_time_out(server: ModelServer, client: UpstreamClient) -> None:
    """The wait for the first byte has its bound."""
    server.script = silence
    error = await failure_of(client)
    assert (error.failure.cause, error.retryable) == (Cause.UPSTREAM_TIMEOUT, True)
    await assert_gone(server.exchanges[0])


async def test_a_body_that_stalls_times_out(server: ModelServer, client: UpstreamClient) -> None:
    """The wait between two chunks has its bound."""
    server.script = trickle
    async with client.stream("/responses", BODY) as stream:
        await anext(stream)
        with pytest.raises(UpstreamError) as caught:
            await anext(stream)
    assert caught.value.failure.cause is Cause.UPSTREAM_TIMEOUT
    await assert_gone(server.exchanges[0])
    assert_nothing_in_use(client)


@pytest.mark.parametrize("started", [True, False])
async def test_a_reset_is_a_cut(server: ModelServer, client: UpstreamClient, started: bool) -> None:
    """Within the body, and before the answer (a kept connection that the server let go)."""

    async def reset(exchange: Exchange) -> None:
        if started:
            await exchange.start()
            await exchange.chunk(b"data: 1\n\n")
            await asyncio.sleep(0.02)  # so that the reset does not overtake what was sent
        exchange.reset()

    server.script = reset
    with pytest.raises(UpstreamError) as caught:  # noqa: PT012 - where it is raised is what differs
        async with client.stream("/responses", BODY) as stream:
            assert started
            async for _ in stream:
                pass
    assert (caught.value.failure.cause, caught.value.retryable) == (Cause.UPSTREAM_CUT, True)
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_a_body_cut_within_a_chunk_is_a_cut(server: ModelServer, client: UpstreamClient) -> None:
    """A connection that closes early is not the end of the body."""

    async def cut(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.send(b"ff\r\nhalf")
        exchange._writer.close()  # noqa: SLF001

    server.script = cut
    async with client.stream("/responses", BODY) as stream:
        with pytest.raises(UpstreamError) as caught:
            async for _ in stream:
                pass
    assert caught.value.failure.cause is Cause.UPSTREAM_CUT


async def test_a_refused_connection_is_unreachable(server: ModelServer) -> None:
    """Nobody listens: the operator is told where to look."""
    blocked = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = blocked.sockets[0].getsockname()[1]
    blocked.close()
    await blocked.wait_closed()
    async with client_for(f"http://127.0.0.1:{port}/v1") as client:
        error = await failure_of(client)
    assert (error.failure.cause, error.retryable) == (Cause.UPSTREAM_UNREACHABLE, True)
    assert "OPENAI_BASE_URL" in error.failure.message
    assert server.connections == 0


async def test_an_unknown_host_is_unreachable() -> None:
    """The name is one that RFC 6761 keeps from ever resolving."""
    async with client_for("http://model.invalid/v1") as client:
        assert (await failure_of(client)).failure.cause is Cause.UPSTREAM_UNREACHABLE


async def test_a_server_without_tls_is_unreachable_by_https(server: ModelServer) -> None:
    """The message says that TLS is what failed."""

    async def no_tls(exchange: Exchange) -> None:
        raise AssertionError(exchange)

    server.script = no_tls

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain, client_for(f"https://127.0.0.1:{port}/v1") as client:
        error = await failure_of(client)
    assert error.failure.cause is Cause.UPSTREAM_UNREACHABLE
    assert "TLS" in error.failure.message
    assert isinstance(error.__cause__, Exception)
    assert not isinstance(error.__cause__, ssl.SSLError)


def test_a_missing_key_stops_the_start_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when an admin key is there, which no model answers to."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for admin_key in (None, "sk-admin-0123456789"):
        if admin_key is not None:
            monkeypatch.setenv("OPENAI_ADMIN_KEY", admin_key)
        with pytest.raises(UpstreamMisconfiguredError, match="OPENAI_API_KEY is not set"):
            UpstreamClient(max_connections=1)


@pytest.mark.parametrize("base_url", ["model:8000/v1", "ftp://model/v1", "http://"])
def test_a_base_url_that_is_none_stops_the_start(base_url: str) -> None:
    """The message names the variable."""
    with pytest.raises(UpstreamMisconfiguredError, match="OPENAI_BASE_URL"):
        UpstreamClient(max_connections=1, base_url=base_url, api_key="none")
