"""Exchange: one request's answer, parsed as its bytes arrive, within the transport's callback.

Owns the answer's head, its body, and what a break or a silence of the connection means for them. Does not own the
connection (`model_link` does), nor what the body means. The grammar of HTTP/1.1 is llhttp's (httptools).

The body is given in either of two ways: pushed to a listener in the very call in which its bytes came (no task is
woken, no future made: a fifth of the cost of pulling), or pulled with `read`. What comes before anybody asks is held, a
bounded amount: beyond it the connection is not read, so the server is held up by TCP.

Guarantees: a body ends exactly once, cleanly or with the httpx2 exception that the plain transport raises for the same
cause; after `close` a listener hears nothing more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, TypeAlias

import httptools
import httpx2

OnBytes: TypeAlias = Callable[[bytes], object]
# Called with the head of the answer, before any of its body is pushed or held.
OnHead: TypeAlias = Callable[["Exchange", "Head"], None]
# Called once, after the last bytes: with None at a clean end.
OnEnd: TypeAlias = Callable[[Exception | None], None]

_MOST_HEAD_BYTES: Final = 100 * 1024  # as much as h11 takes; llhttp has no bound
_MOST_HELD_BYTES: Final = 256 * 1024
_FIRST_FINAL_STATUS: Final = 200

_LARGE_HEAD: Final = "the head of the answer is too large"
_CUT_HEAD: Final = "Server disconnected without sending a response."
_CUT_BODY: Final = "peer closed connection without sending complete message body"


class Wire(Protocol):
    """What an exchange asks of its connection."""

    def hold(self) -> None:
        """Stop reading."""
        ...

    def go_on(self) -> None:
        """Read on."""
        ...

    def finished(self, *, reusable: bool) -> None:
        """Take the connection back: the answer was read whole."""
        ...

    def shut(self) -> None:
        """Tell the server at once, and hear nothing more; `close` is to follow."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...


class Head:
    """Status line and headers of an answer, in the words of `httpx2.Response`."""

    __slots__ = ("headers", "http_version", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.http_version = b""
        self.headers: list[tuple[bytes, bytes]] = []


class Exchange(httpx2.AsyncByteStream):
    """One answer. `feed`, `eof` and `lost` are for the connection; the rest is for whoever asked."""

    def __init__(self, wire: Wire, *, read_timeout_s: float | None, on_head: OnHead | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._on_head = on_head
        # Brings the head, or raises what came instead of it.
        self.head: asyncio.Future[Head] = self._loop.create_future()
        self._building = Head()
        # Of its headers; and of all that came while it was not whole, for one that never ends a line has no headers.
        # Not of all that came with its end: a quick server's first bytes hold much of the body.
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        # As lenient as h11, which the plain transport reads with: there are servers that end lines with a bare LF. An
        # answer whose two lengths contradict each other is read by its chunks, and its connection is not used again.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_chunked_length=True)
        self._has_length = False
        self._is_chunked = False
        # The last byte of the body has come; whether the connection may serve another request is known with it.
        self._complete = False
        self._reusable = False
        self._closed = False
        # The end was reached: None is a clean one. Unset while the body goes on.
        self._ended = False
        self._error: Exception | None = None
        # What came before anybody asked, and whether the connection is held up because of it.
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_holding = False
        # What is to be pushed of the bytes that are being parsed.
        self._fresh: list[bytes] = []
        self._on_bytes: OnBytes | None = None
        self._on_end: OnEnd | None = None
        # A pull that waits for bytes or the end.
        self._pull: asyncio.Future[None] | None = None
        self._read_timeout_s = read_timeout_s
        # Loop time of the last bytes. The timer looks at it and is set anew, so a chunk costs no timer.
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        if read_timeout_s is not None:
            self._timer = self._loop.call_later(read_timeout_s, self._check_silence)

    # ── for the connection ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrived. What a listener raises ends the body with it."""
        self._heard_at = self._loop.time()
        error = self._parsed(data)
        if self._fresh:
            self._push()
        if error is not None:
            self._end(error, is_broken=True)
        if not self.head.done():
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > _MOST_HEAD_BYTES:
                self._end(httpx2.RemoteProtocolError(_LARGE_HEAD), is_broken=True)
        if self._complete and not self._ended:
            self._end(None)

    def _parsed(self, data: bytes) -> Exception | None:
        """Parse; return what makes the answer no answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            return _cause_of(error)
        except httptools.HttpParserUpgrade:
            return httpx2.RemoteProtocolError("the server switched protocols, unasked")
        except httptools.HttpParserError as error:
            self._reusable = False  # bytes after the end of the answer
            if not self._complete:
                return httpx2.RemoteProtocolError(f"illegal answer: {error}")
        return None

    def _push(self) -> None:
        """Push what came at once in one go: a server's chunks are often smaller than what the network brings."""
        data = self._fresh[0] if len(self._fresh) == 1 else b"".join(self._fresh)
        self._fresh.clear()
        if self._on_bytes is not None:
            try:
                self._on_bytes(data)
            except Exception as error:  # noqa: BLE001  whoever listens is told of its own error as the body's end
                self._end(error, is_broken=True)

    def eof(self) -> None:
        """End the body, or break it off: the server sends no more."""
        if self._ended:
            return
        if not self.head.done():
            self._end(httpx2.RemoteProtocolError(_CUT_HEAD), is_broken=True)
        elif self._is_chunked or self._has_length:
            self._end(httpx2.RemoteProtocolError(_CUT_BODY), is_broken=True)
        else:
            self._end(None, is_broken=True)  # a body that its connection's end delimits

    def lost(self, error: Exception | None) -> None:
        """Break off: the connection is no more."""
        if not self._ended:
            self._end(httpx2.ReadError(str(error or "the connection was closed")), is_broken=True)

    # ── for the parser ───────────────────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """Use the connection no more if a second answer came to one request."""
        if self._complete:
            self._reusable = False

    def on_status(self, reason: bytes) -> None:
        """Take a piece of the reason phrase."""
        self._building.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is read over."""
        if self.head.done():
            return
        self._building.headers.append((name, value))
        known = name.lower()
        if known == b"content-length":
            self._has_length = True
        elif known == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise httpx2.RemoteProtocolError("an unknown transfer encoding")
            self._is_chunked = True
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MOST_HEAD_BYTES:
            raise httpx2.RemoteProtocolError(_LARGE_HEAD)

    def on_headers_complete(self) -> None:
        """Give the head, unless it is an interim one (100, 103)."""
        head = self._building
        head.status = self._parser.get_status_code()
        head.http_version = b"HTTP/" + self._parser.get_http_version().encode()
        if head.status >= _FIRST_FINAL_STATUS and not self.head.done():
            self.head.set_result(head)
            if self._on_head is not None:
                self._on_head(self, head)

    def on_body(self, data: bytes) -> None:
        """Push the bytes, or hold them."""
        if self._ended or self._complete:
            return  # closed by what came just before; or it is of a second answer, and nobody's
        if self._on_bytes is not None:
            self._fresh.append(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _MOST_HELD_BYTES and not self._is_holding:
            self._is_holding = True
            self._wire.hold()
        self._wake_pull()

    def on_message_complete(self) -> None:
        """Note the end of the answer, or of an interim one."""
        if self._complete:
            return
        if self._building.status < _FIRST_FINAL_STATUS:
            self._building = Head()
            self._head_bytes = self._unfinished_bytes = 0
            self._has_length = self._is_chunked = False
            return
        self._complete = True
        self._reusable = self._parser.should_keep_alive() and not (self._is_chunked and self._has_length)

    # ── for whoever asked ────────────────────────────────────────────────────────────────────────────────────────

    def is_sent(self) -> None:
        """Count the server's silence from now: the request has left."""
        self._heard_at = self._loop.time()

    @property
    def ended(self) -> bool:
        """Whether the body came to its end, whatever end, or was closed."""
        return self._ended

    def push_to(self, on_bytes: OnBytes, on_end: OnEnd) -> None:
        """Push the body from now on; what was held is pushed before this returns, and so is an end."""
        held, self._held, self._held_bytes = self._held, [], 0
        self._on_bytes = on_bytes
        for data in held:
            if self._is_dropped():
                return  # by what it was given just now
            on_bytes(data)
        self._let_go_on()
        if self._ended:
            on_end(self._error)
        else:
            self._on_end = on_end

    def pull(self) -> None:
        """Push no more; what comes is held until it is read."""
        self._on_bytes = self._on_end = None

    async def read(self) -> bytes:
        """Return the next bytes, or nothing at the clean end. Raises what the plain transport would.

        Cancelling it is safe. From one task at a time.
        """
        while not self._held:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._pull = self._loop.create_future()
            try:
                await self._pull
            finally:
                self._pull = None
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held, self._held_bytes = [], 0
        self._heard_at = self._loop.time()  # the time that nobody asked is no silence of the server's
        self._let_go_on()
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body, for httpx2 itself: bodies of errors and redirects."""
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Close, unless the body was read whole."""
        self.close()

    def shut(self) -> None:
        """Tell the server in this call that nothing more is wanted, unless the answer is whole; `close` is to follow.

        A listener hears nothing more.
        """
        if not self._ended:
            self._wire.shut()
            self.pull()

    def close(self) -> None:
        """Close the connection in this call, unless the answer is whole. Idempotent."""
        if not self._ended:
            self.pull()
            self._end(httpx2.ReadError("closed from this side"), is_broken=True)
        self._held, self._held_bytes = [], 0

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, error: Exception | None, *, is_broken: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        if is_broken:
            self._wire.close()
        else:
            self._let_go_on()
            self._wire.finished(reusable=self._reusable)
        if not self.head.done():
            self.head.set_exception(error or httpx2.RemoteProtocolError(_CUT_HEAD))
            self.head.exception()  # whoever waited for it may be gone
        self._wake_pull()
        on_end, self._on_end, self._on_bytes = self._on_end, None, None
        if on_end is not None:
            on_end(error)

    def _is_dropped(self) -> bool:
        """Tell whether nobody takes the bytes any more."""
        return self._on_bytes is None

    def _check_silence(self) -> None:
        assert self._read_timeout_s is not None
        silent_s = self._loop.time() - self._heard_at
        if silent_s >= self._read_timeout_s and not self._held:
            self._end(httpx2.ReadTimeout("no byte within the time allowed"), is_broken=True)
            return
        left_s = self._read_timeout_s - (0 if self._held else silent_s)
        self._timer = self._loop.call_later(left_s, self._check_silence)

    def _wake_pull(self) -> None:
        if self._pull is not None and not self._pull.done():
            self._pull.set_result(None)

    def _let_go_on(self) -> None:
        if self._is_holding:
            self._is_holding = False
            self._wire.go_on()


def _cause_of(error: Exception) -> Exception:
    """Return what a callback raised: the parser wraps it."""
    cause = error.__context__
    return cause if isinstance(cause, Exception) else error
