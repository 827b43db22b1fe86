"""Answer: one HTTP/1.1 answer, read from its bytes in whatever pieces they come. Does no I/O.

Owns the answer's head, where its body begins and ends, and whether its connection may serve another request. Does not
own what becomes of the body (`exchange`). The grammar is llhttp's (httptools).

Guarantees: what is no answer, or one that never ends its head, is an error; of a second answer, to a request that
nobody made, nothing is taken.
"""

from collections.abc import Callable
from typing import Final

import httptools
import httpx2

_MOST_HEAD_BYTES: Final = 100 * 1024  # as much as h11 takes; llhttp has no bound
_FIRST_FINAL_STATUS: Final = 200

_LARGE_HEAD: Final = "the head of the answer is too large"


class Head:
    """Status line and headers of an answer, in the words of `httpx2.Response`."""

    __slots__ = ("headers", "http_version", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.http_version = b""
        self.headers: list[tuple[bytes, bytes]] = []


class Answer:
    """`take` its bytes, and after each take what it read of the `body`. `on_head`: told of the head before that."""

    __slots__ = (
        "_body_ends_at",
        "_building",
        "_has_length",
        "_head_bytes",
        "_is_chunked",
        "_on_head",
        "_parser",
        "_unfinished_bytes",
        "body",
        "has_head",
        "is_complete",
        "is_reusable",
        "on_body",
    )

    def __init__(self, on_head: Callable[[Head], None]) -> None:
        self._on_head = on_head
        # The final head is whole: what comes now is body, or trailers.
        self.has_head = False
        # The last byte of the body has come; whether the connection may serve another request is known with it.
        self.is_complete = False
        self.is_reusable = False
        # The pieces of the body that were read and not taken from here. The parser appends them itself: a piece, which
        # may be a token, costs no call of Python's.
        self.body: list[bytes] = []
        self.on_body = self.body.append
        # How many of these pieces are before the answer's end, once that is known.
        self._body_ends_at = 0
        self._building = Head()
        self._has_length = False
        self._is_chunked = False
        # Of its headers; and of all that came while it was not whole, for one that never ends a line has no headers.
        # Not of all that came with its end: a quick server's first bytes hold much of the body.
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        # As lenient as h11, which the plain transport reads with: there are servers that end lines with a bare LF. An
        # answer whose two lengths contradict each other is read by its chunks, and its connection is not used again.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_chunked_length=True)

    @property
    def tells_its_end(self) -> bool:
        """Whether the body has a length, or chunks; if not, it ends where the connection does."""
        return self._is_chunked or self._has_length

    def take(self, data: bytes) -> Exception | None:
        """Read bytes as they arrived; return what makes the answer no answer. What `on_head` raises is that, too."""
        error = self._parsed(data)
        if self.is_complete:
            del self.body[self._body_ends_at :]
            self._body_ends_at = 0
        if error is None and not self.has_head:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > _MOST_HEAD_BYTES:
                return httpx2.RemoteProtocolError(_LARGE_HEAD)
        return error

    def _parsed(self, data: bytes) -> Exception | None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            return _cause_of(error)
        except httptools.HttpParserUpgrade:
            return httpx2.RemoteProtocolError("the server switched protocols, unasked")
        except httptools.HttpParserError as error:
            self.is_reusable = False  # bytes after the end of the answer
            if not self.is_complete:
                return httpx2.RemoteProtocolError(f"illegal answer: {error}")
        return None

    # ── for the parser ───────────────────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """Use the connection no more if a second answer came to one request."""
        if self.is_complete:
            self.is_reusable = False

    def on_status(self, reason: bytes) -> None:
        """Take a piece of the reason phrase."""
        if not self.has_head:
            self._building.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is read over."""
        if self.has_head:
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
        if self.has_head:
            return
        head = self._building
        head.status = self._parser.get_status_code()
        head.http_version = b"HTTP/" + self._parser.get_http_version().encode()
        if head.status >= _FIRST_FINAL_STATUS:
            self.has_head = True
            self._on_head(head)

    def on_message_complete(self) -> None:
        """Note the end of the answer, or of an interim one."""
        if self.is_complete:
            return
        if not self.has_head:
            self._building = Head()
            self._head_bytes = self._unfinished_bytes = 0
            self._has_length = self._is_chunked = False
            return
        self.is_complete = True
        self.is_reusable = self._parser.should_keep_alive() and not (self._is_chunked and self._has_length)
        self._body_ends_at = len(self.body)


def _cause_of(error: Exception) -> Exception:
    """Return what a callback raised: the parser wraps it."""
    cause = error.__context__
    return cause if isinstance(cause, Exception) else error
