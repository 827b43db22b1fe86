"""Event stream: a response's events as the answer to a request, in server-sent events as OpenAI sends them.

Owns the stream, the comments that keep proxies from giving up on a silent model, and the noticing of a client that
leaves. Guarantees: the data lines are the bytes of the log; after the terminal event the body ends; a body that ends
for another reason says so in a last `error` event.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from andon.closecodes import CloseCode
from andon.errors import GoneError, RestartingError, RetryLaterError, ToldError, UnauthorizedError, stream_error
from andon.frames import encode
from andon.ids import ResponseId
from gateway.http.departure import while_there
from gateway.http.follower import JOB_LOST, Follower
from gateway.sockets import Sockets

RESPONSE_HEADER: Final = "X-Andon-Response-Id"
_MEDIA_TYPE: Final = "text/event-stream"
_TYPE_AT: Final = len(b'{"type":"')
_COMMENT: Final = b": andon\n\n"


def event_stream_headers(response_id: ResponseId) -> dict[str, str]:
    """Return the headers that let a stream pass every proxy as it comes; the second is nginx's."""
    return {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", RESPONSE_HEADER: response_id}


class Writer(Protocol):
    """How events are written."""

    def event(self, frame: bytes) -> bytes:
        """Write an event of the log; nothing where there is nothing to say."""
        ...

    def early_end(self, error: ToldError, delivered: int) -> bytes:
        """Write that the body ends before the response. `delivered`: sequence number of the last event."""
        ...


class ResponseEvents:
    """Writes the events of the Responses API: a frame begins with its type and holds no newline (`andon.frames`)."""

    def event(self, frame: bytes) -> bytes:
        """Write an event as it is in the log."""
        return b"event: %b\ndata: %b\n\n" % (frame[_TYPE_AT : frame.index(b'"', _TYPE_AT)], frame)

    def early_end(self, error: ToldError, delivered: int) -> bytes:
        """Write a flat `error` event."""
        return b"event: error\ndata: %b\n\n" % encode(stream_error(error, delivered))


class EventStream(Response):
    """The answer. `on_left` is called when the client leaves before the response has ended."""

    media_type = _MEDIA_TYPE

    def __init__(
        self,
        follower: Follower,
        writer: Writer,
        *,
        sockets: Sockets,
        keepalive_s: float,
        on_left: Callable[[], Awaitable[None]],
    ) -> None:
        # Not the parent's: it would announce a length.
        self.status_code = 200
        self.background = None
        self.init_headers(event_stream_headers(follower.response_id))
        self._follower = follower
        self._writer = writer
        self._sockets = sockets
        self._keepalive_s = keepalive_s
        self._on_left = on_left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the response ends, the client leaves, or this replica wants the connection ended."""
        if scope["method"] == "HEAD":
            # It would follow the response to its end only to have every event thrown away.
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body"})
            return
        self._sockets.add(self._follower)
        try:
            await while_there(receive, self._stream(send))
        except ClientDisconnect:
            if not self._follower.has_ended:
                await self._on_left()
        finally:
            self._sockets.remove(self._follower)

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with self._follower.open():
            while (event := await self._next()) is not None:
                if event:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": self._last_words(), "more_body": False})

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._keepalive_s):
                frame = await self._follower.next()
        except TimeoutError:
            return _COMMENT
        return None if frame is None else self._writer.event(frame)

    def _last_words(self) -> bytes:
        error = early_end(self._follower)
        return b"" if error is None else self._writer.early_end(error, self._follower.delivered)


def early_end(follower: Follower) -> ToldError | None:
    """Say why a following ended before its response did; None if the response has ended."""
    where = f"GET /v1/responses/{follower.response_id}"
    match follower.ending:
        case CloseCode.DONE | None:
            return None
        case CloseCode.RESTARTING:
            message = f"This replica restarts; the response goes on. Follow it with {where} on any other."
            return RestartingError(message)
        case CloseCode.TOO_SLOW:
            message = f"The stream was read too slowly for too long; the response goes on. Follow it with {where}."
            return RetryLaterError("too_slow", message)
        case CloseCode.UNAUTHORIZED:
            message = f"The token holds no more; the response goes on. Follow it with {where} and a new token."
            return UnauthorizedError(follower.reason, message)
        case _ if follower.reason == JOB_LOST:
            return GoneError(JOB_LOST, "Redis lost this response; it has no ending. Create it again.")
        case _:
            return GoneError("internal_error", f"The gateway failed; the response goes on. Follow it with {where}.")
