"""The stream: the body of one answer, and the closing of its connection.

Owns reading and closing, in any order and from any task. Does not own the request, nor the task in which the closing
happens: the client does, so that nobody cancels it (see `client` for why).
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Self, TypeAlias, cast

import httpx2

from worker.upstream.errors import UpstreamError
from worker.upstream.transport_errors import BROKEN_BODY, broken_body_error

LINGER_S = 0.05  # a finished stream's last bytes come with its finish; then its connection can be used again


# Takes the next bytes; False if no more are wanted.
TakeBytes: TypeAlias = Callable[[bytes], bool]


class ByteStream(Protocol):
    """The body of one answer, as an async iterator of the bytes as they arrive. Read it from one task at a time.

    Iterating and pouring raise UpstreamError when the body breaks or stalls; they just end when the body does, and when
    the stream was closed from this side. Cancelling either is safe; leave the `async with` afterwards.
    """

    @property
    def status(self) -> int:
        """The HTTP status, always a success: others raise before there is a stream."""
        ...

    @property
    def closed(self) -> bool:
        """Whether closing began, from whatever side."""
        ...

    def __aiter__(self) -> Self:
        """Return itself: the body can be read once."""
        ...

    async def __anext__(self) -> bytes:
        """Return the next bytes."""
        ...

    async def pour(self, take: TakeBytes) -> None:
        """Have the bytes taken as they arrive, until the end, or until no more are wanted.

        What `take` raises ends it.
        """
        ...

    def cut(self) -> bool:
        """Close the connection in this call; the rest of the closing follows by itself. Idempotent.

        Return whether that was all: nothing comes any more, and whoever pours waits until it is cancelled, or closes.
        """
        ...

    async def close(self) -> None:
        """Close the connection, and wait until all of it is gone. Idempotent; safe while another task reads."""
        ...

    def release(self) -> None:
        """Let go of a stream whose finish was seen: read to its end, briefly, so that its connection is kept."""
        ...


class TaskOwner(Protocol):
    """Whoever runs the closing to its end."""

    def own(self, work: Coroutine[Any, Any, None], /) -> asyncio.Task[None]:
        """Run `work` in a task that nobody else cancels."""
        ...


class UpstreamStream:
    """The body of an answer that httpx2's own transport brought. Meets `ByteStream`."""

    def __init__(self, response: httpx2.Response, owner: TaskOwner) -> None:
        self._response = response
        self._owner = owner
        self._body = aiter(cast("httpx2.AsyncByteStream", response.stream))
        self._reading = False  # a task is within the body's iterator: nobody else may close that iterator
        self._at_end = False  # the body was read whole: the connection may serve another request
        self._closer: asyncio.Task[None] | None = None  # set once closing began

    @property
    def status(self) -> int:
        """The HTTP status, always a success: others raise before there is a stream."""
        return self._response.status_code

    @property
    def closed(self) -> bool:
        """Whether closing began, from whatever side."""
        return self._closer is not None

    def __aiter__(self) -> Self:
        """Return itself: the body can be read once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. See the class for what it raises."""
        if self._closer is not None or self._at_end:
            raise StopAsyncIteration
        return await self._read()

    async def _read(self) -> bytes:
        self._reading = True
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            self._at_end = True
            raise
        except BROKEN_BODY as error:
            if self._closer is not None:  # our own close broke it
                raise StopAsyncIteration from None
            raise broken_body_error(error) from error
        finally:
            self._reading = False

    async def pour(self, take: TakeBytes) -> None:
        """Pull, and have it taken. See `ByteStream`."""
        async for data in self:
            if not take(data):
                return

    def cut(self) -> bool:
        """Shut the socket down; the rest is done in the client's own task."""
        if self._closer is None:
            self._shut_down()
            self._closer = self._owner.own(self._dispose())
        return False

    async def close(self) -> None:
        """Close the connection: the socket is shut down before this first awaits.

        Idempotent, and safe while another task reads: its iteration ends. Cancelling it is safe too: the closing goes
        on in the client's own task.
        """
        self.cut()
        assert self._closer is not None
        await asyncio.wait({self._closer})

    def release(self) -> None:
        """Let go of a stream whose finish was seen: it is read to its end, briefly, so that its connection is kept.

        Returns at once; the rest happens in the client's own task. A body that goes on is closed.
        """
        if self._closer is None:
            self._closer = self._owner.own(self._linger())

    def _shut_down(self) -> None:
        """Tell the server at once, without waiting for the event loop's next turn."""
        if self._at_end:
            return  # the connection may already serve another request
        connection = self._response.extensions.get("network_stream")
        plug = connection.get_extra_info("socket") if connection is not None else None
        if plug is None:
            return
        # A duplicate, because uvloop's sockets refuse shutdown(); it acts on the connection, not on the descriptor.
        # OSError: the peer, or the pool, was faster.
        with contextlib.suppress(OSError), socket.fromfd(plug.fileno(), plug.family, plug.type) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)

    async def _linger(self) -> None:
        with contextlib.suppress(TimeoutError, StopAsyncIteration, UpstreamError):
            async with asyncio.timeout(LINGER_S):
                while not self._at_end:
                    await self._read()
        await self._dispose()

    async def _dispose(self) -> None:
        """Give connection and slot back. Runs in a task of the client's own, so that nothing cancels it half-way."""
        # A connection that breaks while it is being closed is closed: nobody is left to be told.
        with contextlib.suppress(*BROKEN_BODY):
            await self._response.aclose()
        if not self._reading:
            # Whoever reads has the iterator end by itself, broken by the line above.
            with contextlib.suppress(*BROKEN_BODY):
                await cast("Any", self._body).aclose()
