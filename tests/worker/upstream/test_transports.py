"""What both transports promise alike: the plain one, httpx2's own, is the reference for the one that pushes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from andon.pieces import Cause
from andon.settings import UpstreamTransport
from tests.worker.upstream.certificates import make_certificate
from tests.worker.upstream.conftest import API_KEY, Way, prepare
from tests.worker.upstream.connections import assert_gone, assert_nothing_in_use, transport_of, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer, model_server
from worker.upstream.client import UpstreamClient
from worker.upstream.errors import UpstreamError
from worker.upstream.push_transport import PushTransport

BODY: dict[str, Any] = {"model": "m", "input": "x", "stream": True}
PATIENCE_S = 15

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MEASURED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 6\r\n\r\n"
UNMEASURED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"

WHOLE = {
    "chunked": CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
    "chunked, with an extension and a trailer": CHUNKED + b"6;x=1\r\nonetwo\r\n0\r\nx: y\r\n\r\n",
    "measured": MEASURED + b"onetwo",
    "delimited by the end of the connection": UNMEASURED + b"onetwo",
    "after interim answers": INTERIM + CHUNKED + b"6\r\nonetwo\r\n0\r\n\r\n",
    "of both measures, where the chunks count": MEASURED.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n")
    + b"6\r\nonetwo\r\n0\r\n\r\n",
    "with bare line feeds in its head": MEASURED.replace(b"\r\n", b"\n") + b"onetwo",
}
NEVER_REUSED = {"delimited by the end of the connection"}

BROKEN = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "a bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    "a cut head": b"HTTP/1.1 200 OK\r\ncontent-",
    "nothing": b"",
    "an unknown transfer encoding": CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n",
}
BROKEN_BODY = {
    "a bad chunk size": CHUNKED + b"3\r\none\r\nxyz\r\n",
    "a cut chunk": CHUNKED + b"ff\r\none",
    "a cut measured body": MEASURED + b"one",
    "no last chunk": CHUNKED + b"3\r\none\r\n",
}


@pytest.fixture
async def client(server: ModelServer, way: Way) -> AsyncIterator[UpstreamClient]:
    """Patient: nothing but the test's own stall should be silent for too long."""
    async with client_of(server, way.transport) as made:
        if way is Way.PREPARED:
            await prepare(made, server)
        yield made


def client_of(
    server: ModelServer, transport: UpstreamTransport, *, most: int = 8, silence_s: float = PATIENCE_S
) -> UpstreamClient:
    return UpstreamClient(
        max_connections=most,
        read_timeout_s=silence_s,
        base_url=server.base_url,
        api_key=API_KEY,
        transport=transport,
    )


def saying(text: bytes, *, then_end: bool = False, piece: int = 0) -> Callable[[Exchange], Awaitable[None]]:
    async def script(exchange: Exchange) -> None:
        step = piece or max(1, len(text))
        for start in range(0, len(text), step):
            await exchange.send(text[start : start + step])
            if piece:
                await asyncio.sleep(0)
        if then_end:
            exchange._writer.close()  # noqa: SLF001

    return script


async def poured(client: UpstreamClient) -> bytes:
    """Read one answer whole, by way of `pour`."""
    taken = bytearray()

    def take(data: bytes) -> bool:
        taken.extend(data)
        return True

    async with client.stream("/responses", BODY) as stream:
        await stream.pour(take)
    return bytes(taken)


async def iterated(client: UpstreamClient) -> bytes:
    """Read one answer whole, by iteration."""
    async with client.stream("/responses", BODY) as stream:
        return b"".join([data async for data in stream])


@pytest.mark.parametrize("read", [poured, iterated])
@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize("kind", WHOLE)
async def test_an_answer_is_read_whole_however_it_is_framed_and_cut_up(
    server: ModelServer,
    client: UpstreamClient,
    kind: str,
    piece: int,
    read: Callable[[UpstreamClient], Awaitable[bytes]],
) -> None:
    """Twice: what could be left over from the first answer would spoil the second."""
    server.script = saying(WHOLE[kind], then_end=kind in NEVER_REUSED, piece=piece)
    assert await read(client) == b"onetwo"
    assert await read(client) == b"onetwo"
    await until_settled(client)
    assert_nothing_in_use(client)


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_no_answer_is_a_cut(server: ModelServer, client: UpstreamClient, kind: str) -> None:
    """It can be tried again, and its connection is not."""
    server.script = saying(BROKEN[kind], then_end=True)
    with pytest.raises(UpstreamError) as caught:
        await poured(client)
    assert (caught.value.failure.cause, caught.value.retryable) == (Cause.UPSTREAM_CUT, True)
    await until_settled(client)
    assert_nothing_in_use(client)


@pytest.mark.parametrize("read", [poured, iterated])
@pytest.mark.parametrize("kind", BROKEN_BODY)
async def test_a_body_that_breaks_is_a_cut(
    server: ModelServer, client: UpstreamClient, kind: str, read: Callable[[UpstreamClient], Awaitable[bytes]]
) -> None:
    """Never a clean end."""
    server.script = saying(BROKEN_BODY[kind], then_end=True)
    with pytest.raises(UpstreamError) as caught:
        await read(client)
    assert caught.value.failure.cause is Cause.UPSTREAM_CUT
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_a_body_that_stalls_while_it_is_poured_times_out(
    server: ModelServer, transport: UpstreamTransport
) -> None:
    """As it does while it is iterated over."""

    async def stall(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"3\r\none\r\n")
        await exchange.wait_client_gone()

    server.script = stall
    async with client_of(server, transport, silence_s=0.3) as client:
        with pytest.raises(UpstreamError) as caught:
            await poured(client)
        assert caught.value.failure.cause is Cause.UPSTREAM_TIMEOUT
        await until_settled(client)
        await server.until_at_most(0)


async def test_a_large_body_passes_through_a_reader_that_pauses(server: ModelServer, client: UpstreamClient) -> None:
    """More than any buffer between takes, and not a byte is lost."""
    piece, count = b"x" * 65536, 256

    async def pour_out(exchange: Exchange) -> None:
        await exchange.start()
        for _ in range(count):
            await exchange.chunk(piece)
        await exchange.end()

    server.script = pour_out
    async with client.stream("/responses", BODY) as stream:
        first = await anext(stream)
        await asyncio.sleep(0.1)  # what would come meanwhile without a bound is far more than what may
        if isinstance(transport := transport_of(client), PushTransport):
            (link,) = transport._in_use  # noqa: SLF001
            assert link._exchange is not None  # noqa: SLF001
            assert link._exchange._held_bytes < 2 * 1024 * 1024  # noqa: SLF001
        rest = [len(data) async for data in stream]
    assert len(first) + sum(rest) == len(piece) * count


@pytest.mark.parametrize("how", ["says close", "says too much", "is HTTP/1.0", "closes afterwards"])
async def test_a_connection_that_will_not_do_is_not_used_again(
    server: ModelServer, client: UpstreamClient, how: str
) -> None:
    """The next request gets one of its own, and is answered."""
    if how == "says too much" and not isinstance(transport_of(client), PushTransport):
        pytest.skip("httpx2's own transport takes the surplus for the next answer")
    text = {
        "says close": MEASURED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + b"onetwo",
        "says too much": MEASURED + b"onetwo" + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "is HTTP/1.0": MEASURED.replace(b"1.1", b"1.0") + b"onetwo",
        "closes afterwards": MEASURED + b"onetwo",
    }[how]
    server.script = saying(text, then_end=how == "closes afterwards")
    assert await poured(client) == b"onetwo"
    if how == "closes afterwards":
        await server.until_at_most(0)
        await asyncio.sleep(0.05)  # its end is on the way to us
    assert await poured(client) == b"onetwo"
    assert server.connections == 2
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_what_takes_the_bytes_ends_the_reading_by_raising(server: ModelServer, client: UpstreamClient) -> None:
    """A fault of ours is no fault of the upstream's; the connection is closed all the same."""

    async def trickle(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"3\r\none\r\n")
        await exchange.wait_client_gone()

    def take(data: bytes) -> bool:
        raise ZeroDivisionError(data)

    server.script = trickle
    with pytest.raises(ZeroDivisionError):
        async with client.stream("/responses", BODY) as stream:
            await stream.pour(take)
    await until_settled(client)
    assert_nothing_in_use(client)
    await assert_gone(server.exchanges[0])


async def test_a_cut_within_the_taking_ends_it(server: ModelServer, client: UpstreamClient) -> None:
    """A stop may be decided by the very bytes that are being taken: nothing more is, and the server is told."""

    async def trickle(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n")
        await exchange.wait_client_gone()

    server.script = trickle
    taken: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S), client.stream("/responses", BODY) as stream:

        def take(data: bytes) -> bool:
            taken.append(data)
            stream.cut()
            return False

        await stream.pour(take)
        assert len(taken) == 1
        assert stream.closed
    await assert_gone(server.exchanges[0])


async def test_no_more_connections_than_allowed_and_a_wait_for_one_is_bounded(
    server: ModelServer, transport: UpstreamTransport
) -> None:
    """Whoever waits gets its turn, whoever gives up spoils nobody's."""

    async def hold(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"3\r\none\r\n")
        await exchange.wait_client_gone()

    server.script = hold
    async with client_of(server, transport, most=1) as client:
        async with asyncio.timeout(PATIENCE_S), client.stream("/responses", BODY) as stream:
            await anext(stream)
            impatient, patient = (asyncio.create_task(iterated(client)) for _ in range(2))
            await asyncio.sleep(0.02)  # so that they wait; were they slower, they would only have waited less
            assert server.connections == 1
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            server.script = saying(WHOLE["chunked"])
        assert await patient == b"onetwo"
        await until_settled(client)
        assert_nothing_in_use(client)


async def test_a_handshake_that_never_ends_times_out(transport: UpstreamTransport) -> None:
    """The time for a connection is for all of it: name, TCP and TLS."""
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        gone.set()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
    client = UpstreamClient(
        max_connections=1, base_url=url, api_key=API_KEY, connect_timeout_s=0.1, transport=transport
    )
    async with silent, client:
        with pytest.raises(UpstreamError) as caught:
            await iterated(client)
        assert caught.value.failure.cause is Cause.UPSTREAM_TIMEOUT
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        assert_nothing_in_use(client)


@asynccontextmanager
async def tls_client(
    transport: UpstreamTransport, directory: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, name: str
) -> AsyncIterator[tuple[ModelServer, UpstreamClient]]:
    """Run a model server behind TLS, with a certificate of our own for `name`."""
    certificate, key = make_certificate(directory, name)
    other, _ = make_certificate(directory / "other", name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate if trusted else other))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with model_server(tls=context) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        async with UpstreamClient(max_connections=2, base_url=url, api_key=API_KEY, transport=transport) as client:
            yield server, client


async def test_tls_is_spoken_and_its_connections_are_used_again_and_cut(
    transport: UpstreamTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as without."""

    async def trickle(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"3\r\none\r\n")
        await exchange.wait_client_gone()

    async with tls_client(transport, tmp_path, monkeypatch, trusted=True, name="127.0.0.1") as (server, client):
        server.script = saying(WHOLE["chunked"], piece=5)
        assert await poured(client) == b"onetwo"
        assert await iterated(client) == b"onetwo"
        assert server.connections == 1
        server.script = trickle
        async with client.stream("/responses", BODY) as stream:
            assert await anext(stream) == b"one"
            stream.cut()
            async with asyncio.timeout(PATIENCE_S):
                await server.exchanges[-1].client_gone.wait()
        await until_settled(client)
        assert_nothing_in_use(client)


@pytest.mark.parametrize(("trusted", "name"), [(False, "127.0.0.1"), (True, "127.0.0.2")])
async def test_a_certificate_that_will_not_do_is_refused(
    transport: UpstreamTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, name: str
) -> None:
    """Of an unknown maker, or for another name: no request is sent."""
    async with tls_client(transport, tmp_path, monkeypatch, trusted=trusted, name=name) as (server, client):
        with pytest.raises(UpstreamError) as caught:
            await iterated(client)
        assert caught.value.failure.cause is Cause.UPSTREAM_UNREACHABLE
        assert "TLS" in caught.value.failure.message
        assert not server.exchanges
        assert_nothing_in_use(client)


async def test_a_header_that_breaks_out_is_not_sent(server: ModelServer, transport: UpstreamTransport) -> None:
    """A key with a line end in it would be a second header."""
    async with UpstreamClient(
        max_connections=1, base_url=server.base_url, api_key="none\r\nx-evil: 1", transport=transport
    ) as client:
        with pytest.raises(UpstreamError):
            await iterated(client)
    assert not server.exchanges


def test_a_proxy_of_the_environment_is_left_to_the_plain_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows them all, and whom they are not for."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    client = UpstreamClient(max_connections=1, base_url="http://127.0.0.1:1/v1", api_key="none")
    assert not isinstance(transport_of(client), PushTransport)
