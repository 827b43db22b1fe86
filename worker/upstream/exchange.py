"""Exchange: one request's answer, given on as its bytes arrive, within the transport's callback.

Owns how the body gets to whoever asked, and what a break or a silence of the connection means for it. Does not own the
connection (`model_link` does), what of the bytes is head and what is body (`answer`), nor what the body means.

The body is given in either of two ways: pushed to a listener in the very call in which its bytes came (no task is
woken, no future made: a fifth of the cost of pulling), or pulled with `read`. What comes before anybody asks is held, a
bounded amount: beyond it the connection is not read, so the server is held up by TCP.

Guarantees: a body ends exactly once, cleanly or with the httpx2 exception that the plain transport raises for the same
cause; after `close` a listener hears nothing more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, TypeAlias

import httpx2

from worker.upstream.answer import Answer, Head

OnBytes: TypeAlias = Callable[[bytes], object]
# Called with the head of the answer, before any of its body is pushed or held.
OnHead: TypeAlias = Callable[["Exchange", "Head"], None]
# Called once, after the last bytes: with None at a clean end.
OnEnd: TypeAlias = Callable[[Exception | None], None]

_MOST_HELD_BYTES: Final = 256 * 1024

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


class Exchange(httpx2.AsyncByteStream):
    """One answer. `feed`, `eof` and `lost` are for the connection; the rest is for whoever asked."""

    def __init__(self, wire: Wire, *, read_timeout_s: float | None, on_head: OnHead | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._on_head = on_head
        # Brings the head, or raises what came instead of it.
        self.head: asyncio.Future[Head] = self._loop.create_future()
        self._answer = Answer(self._take_head)
        # The end was reached: None is a clean one. Unset while the body goes on.
        self._ended = False
        self._error: Exception | None = None
        # What came before anybody asked, and whether the connection is held up because of it.
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_holding = False
        # What there is of the body in the bytes that are being read.
        self._fresh = self._answer.body
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
        error = self._answer.take(data)
        if self._fresh:
            self._give()
        if error is not None:
            self._end(error, is_broken=True)
        if self._answer.is_complete and not self._ended:
            self._end(None)

    def _give(self) -> None:
        """Push what came at once in one go, or hold it: a server's chunks are often smaller than what comes at once."""
        data = self._fresh[0] if len(self._fresh) == 1 else b"".join(self._fresh)
        self._fresh.clear()
        if self._on_bytes is not None:
            try:
                self._on_bytes(data)
            except Exception as error:  # noqa: BLE001  whoever listens is told of its own error as the body's end
                self._end(error, is_broken=True)
        elif not self._ended:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _MOST_HELD_BYTES and not self._is_holding:
            self._is_holding = True
            self._wire.hold()
        self._wake_pull()

    def eof(self) -> None:
        """End the body, or break it off: the server sends no more."""
        if self._ended:
            return
        if not self.head.done():
            self._end(httpx2.RemoteProtocolError(_CUT_HEAD), is_broken=True)
        elif self._answer.tells_its_end:
            self._end(httpx2.RemoteProtocolError(_CUT_BODY), is_broken=True)
        else:
            self._end(None, is_broken=True)  # a body that its connection's end delimits

    def lost(self, error: Exception | None) -> None:
        """Break off: the connection is no more."""
        if not self._ended:
            self._end(httpx2.ReadError(str(error or "the connection was closed")), is_broken=True)

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

    def _take_head(self, head: Head) -> None:
        if not self.head.done():
            self.head.set_result(head)
            if self._on_head is not None:
                self._on_head(self, head)

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
            self._wire.finished(reusable=self._answer.is_reusable)
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
