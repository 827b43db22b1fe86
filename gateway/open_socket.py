"""Open socket: a WebSocket after its handshake, down to its transport.

Owns what goes over the wire from then on: frames both ways, pongs, the closing handshake from either side, the end of
a client that answers no ping or takes no close. Does not own what is said (its endpoint does), nor the handshake
(`gateway.wire`). There is no task and no queue: what comes is told within the transport's callback, and what is sent is
written at once; whoever sends looks at `is_writable` first, and goes on when told that it is again.

Guarantees: the endpoint is told once, and not within a call of its own, that the socket is over: when either side has
closed, or the connection is lost. After that it is told nothing. What a client can make this hold is bounded: a message
of `most_bytes`, one pong, and what a sender wrote while `is_writable`.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from andon.closecodes import CloseCode
from gateway.keepalive import Keepalive
from gateway.lookout import Lookout
from gateway.rfc6455 import FrameReader, Kind, ViolationError, close_frame, continuation, frame

_log = structlog.get_logger(__name__)

# For the client's part of the closing handshake, and to take what was written before it.
_CLOSE_TIMEOUT_S: Final = 10.0
_SILENT: Final = "keepalive ping timeout"
_GLANCE_BYTES: Final = 64 * 1024


class Endpoint(Protocol):
    """Whom an open socket talks to. All are called by the transport, and must not wait."""

    def on_text(self, text: bytes) -> None:
        """Take a text message: valid UTF-8."""
        ...

    def on_binary(self) -> None:
        """Take note of a binary message."""
        ...

    def on_writable(self) -> None:
        """Go on sending: the client has taken most of what was written."""
        ...

    def on_gone(self) -> None:
        """Nothing more comes or goes."""
        ...


class OpenSocket(asyncio.Protocol):
    """The transport's protocol while a WebSocket is open."""

    __slots__ = (
        "_cut",
        "_descriptor",
        "_endpoint",
        "_is_closing",
        "_is_paused",
        "_keepalive",
        "_lookout",
        "_on_lost",
        "_owed_pong",
        "_ping",
        "_reader",
        "_transport",
        "due_tick",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        most_bytes: int,
        is_paused: bool,
        keepalive: Keepalive,
        lookout: Lookout,
        on_lost: Callable[["OpenSocket"], None],
    ) -> None:
        self._transport = transport
        # None once the client has closed, or broken a rule: nothing more is read.
        self._reader: FrameReader | None = FrameReader(most_bytes)
        # None before `begin` and once it has been told of the end.
        self._endpoint: Endpoint | None = None
        # The transport holds more than its high mark.
        self._is_paused = is_paused
        # A close was sent, or the connection is lost: nothing more is sent.
        self._is_closing = False
        # The payload of the ping that is not answered yet.
        self._ping: bytes | None = None
        # The client's last ping that came while the transport was paused: only the last needs an answer (RFC 6455,
        # section 5.5.3), so a client that sends pings and reads nothing fills no buffer.
        self._owed_pong: bytes | None = None
        # Cuts the connection if the client does not do its part of the close.
        self._cut: asyncio.TimerHandle | None = None
        self._keepalive = keepalive
        self._lookout = lookout
        # What the lookout knows it by.
        self._descriptor = -1
        self._on_lost = on_lost
        self.due_tick = 0

    def begin(self, endpoint: Endpoint) -> None:
        """Tell this endpoint from now on."""
        self._endpoint = endpoint
        if not self._is_closing:
            self._keepalive.watch(self)
            self._descriptor = self._lookout.watch(self, self._transport)

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_writable(self) -> bool:
        """Tell whether something may be sent now."""
        return not self._is_paused and not self._is_closing

    def send_text(self, payload: bytes, *, is_first: bool = True, is_last: bool = True) -> None:
        """Send a text, or a piece of one. After a close it goes nowhere."""
        if not self._is_closing:
            kind = Kind.TEXT
            data = frame(kind, payload, is_last=is_last) if is_first else continuation(payload, is_last=is_last)
            self._transport.write(data)

    def send_frames(self, data: bytes) -> None:
        """Send whole frames that were built once for many sockets. After a close they go nowhere."""
        if not self._is_closing:
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        """Close; the client has ten seconds for its part. The first close stays."""
        if not self._is_closing:
            self._transport.write(close_frame(code, reason))
            self._end()

    def shutdown(self) -> None:
        """Close as the server ends; uvicorn calls it for whatever the drain has left."""
        self.close(CloseCode.RESTARTING, "")
        self._transport.close()

    def _end(self) -> None:
        """Say and tell nothing more; leave the client ten seconds."""
        self._is_closing = True
        self._keepalive.leave(self)
        loop = asyncio.get_running_loop()
        self._cut = loop.call_later(_CLOSE_TIMEOUT_S, self._transport.abort)
        loop.call_soon(self._tell_gone)

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455, section 7.1.7): say why, wait for nothing."""
        self._reader = None
        self.close(code, reason)
        self._transport.close()

    def _tell_gone(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.on_gone()

    # ── the keepalive's ──────────────────────────────────────────────────────────────────────────────────────────

    def ping(self) -> None:
        """Send a ping."""
        if not self._is_closing:
            self._ping = os.urandom(4)
            self._transport.write(frame(Kind.PING, self._ping))

    def on_silence(self) -> None:
        """Say why, then abort: a close would wait for what the client does not read."""
        self.close(CloseCode.INTERNAL, _SILENT)
        self._transport.abort()

    # ── the lookout's ────────────────────────────────────────────────────────────────────────────────────────────

    def glance(self, descriptor: int) -> bool:
        """Take what the client has sent, though it is not this connection's turn; tell whether to look again.

        It is what the transport would have read next, so nothing is lost or told out of order: not while the transport
        reads nothing, either. Of an end, and of a failure, the transport tells.
        """
        if not self._transport.is_reading():
            return not self._transport.is_closing()
        try:
            data = os.read(descriptor, _GLANCE_BYTES)
        except BlockingIOError:  # the loop was there before
            return True
        except OSError:
            return False
        if data:
            try:
                self.data_received(data)
            except Exception:  # noqa: BLE001  as the transport does with what its callbacks raise: others go on
                _log.exception("socket.crashed")
                self._transport.abort()
        return bool(data)

    # ── the transport's ──────────────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        reader = self._reader
        if reader is None:
            return
        text = reader.lone_text(data)
        if text is not None:
            if self._endpoint is not None and not self._is_closing:
                self._endpoint.on_text(text)
            return
        try:
            for kind, payload in reader.feed(data):
                self._take(kind, payload)
                if kind is Kind.CLOSE:
                    return
        except ViolationError as violation:
            self._fail(violation.code, violation.reason)

    def _take(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Kind.TEXT:
                if self._endpoint is not None and not self._is_closing:
                    self._endpoint.on_text(payload)
            case Kind.BINARY:
                if self._endpoint is not None and not self._is_closing:
                    self._endpoint.on_binary()
            case Kind.PING:
                self._answer_ping(payload)
            case Kind.PONG:
                if payload == self._ping:
                    self._ping = None
                    self._keepalive.heard(self)
            case Kind.CLOSE:
                self._take_close(payload)

    def _answer_ping(self, payload: bytes) -> None:
        if self._is_paused:
            self._owed_pong = payload
        elif not self._is_closing:
            self._transport.write(frame(Kind.PONG, payload))

    def _take_close(self, payload: bytes) -> None:
        """Answer the client's close with its own words, or take its answer to ours; the server ends the connection."""
        self._reader = None
        if not self._is_closing:
            self._transport.write(frame(Kind.CLOSE, payload))
            self._end()
        self._transport.close()

    def pause_writing(self) -> None:
        """Send no more for now."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_paused = False
        pong, self._owed_pong = self._owed_pong, None
        if pong is not None:
            self._answer_ping(pong)
        if self._endpoint is not None and not self._is_closing:
            self._endpoint.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc  # however it ended, it has
        if not self._is_closing:
            self._end()
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        self._reader = None
        # Before its descriptor is closed, and may be another's.
        self._lookout.leave(self._descriptor)
        self._on_lost(self)
