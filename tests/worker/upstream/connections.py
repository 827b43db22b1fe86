"""What must be true of a client's connections once its streams were left."""

import asyncio
import socket
from typing import Any

from tests.worker.upstream.model_server import Exchange
from worker.upstream.client import UpstreamClient
from worker.upstream.push_transport import PushTransport
from worker.upstream.pushed_stream import PushedStream
from worker.upstream.stream import ByteStream, UpstreamStream

GONE_WITHIN_S = 15  # a starved machine; that it is at once, another test shows, by what a call has done when it returns
SETTLED_WITHIN_S = 15


def transport_of(client: UpstreamClient) -> Any:
    """Return the transport: private to its library, but what leaks is seen nowhere else."""
    return client._http._transport  # noqa: SLF001


def kept_by(client: UpstreamClient) -> int:
    """Count the connections that wait for the next request."""
    transport = transport_of(client)
    return transport.idle if isinstance(transport, PushTransport) else len(transport._pool.connections)  # noqa: SLF001


def assert_nothing_in_use(client: UpstreamClient) -> None:
    transport = transport_of(client)
    if isinstance(transport, PushTransport):
        assert transport.in_use == 0
        return
    pool = transport._pool  # noqa: SLF001
    assert pool._requests == []  # noqa: SLF001
    assert all(connection.is_idle() for connection in pool.connections)


async def until_settled(client: UpstreamClient) -> None:
    """Wait for what closes after a stream was left: the client's own tasks, and a released stream's last bytes."""
    transport = transport_of(client)
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while client._tasks:  # noqa: SLF001
            await asyncio.wait(client._tasks)  # noqa: SLF001
        while isinstance(transport, PushTransport) and transport.in_use:  # noqa: ASYNC110 - looks on from outside
            await asyncio.sleep(0.001)


def plug_of(stream: ByteStream) -> socket.socket:
    """Return the socket beneath: private, but only there can be seen what a call did before the loop turned."""
    if isinstance(stream, PushedStream):
        return stream._exchange._wire._plug  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001
    assert isinstance(stream, UpstreamStream)
    plug = stream._response.extensions["network_stream"].get_extra_info("socket")  # noqa: SLF001
    assert plug is not None
    return plug  # type: ignore[no-any-return]


async def assert_gone(exchange: Exchange) -> None:
    async with asyncio.timeout(GONE_WITHIN_S):
        await exchange.client_gone.wait()
