"""Server-sent events: bytes in, events out. No I/O.

Owns the event stream grammar of the WHATWG HTML standard, section 9.2.6 (CRLF, LF or CR; comments; several `data`
lines; one leading byte order mark). Does not own what the data means, and does not decode it: a decoder of JSON
works on the bytes. `id` and `retry` are read over: nobody reconnects to a model's stream.

Guarantees the same events whatever the split of the bytes, and holds at most `limit_bytes` of one event.
"""

import msgspec

from worker.upstream.errors import SseEventTooLargeError

LIMIT_BYTES = 16 * 1024 * 1024  # an image in base64 fits; a server that never ends an event does not fill our memory

_LF = 0x0A
# Of an event as nearly all come: with a name before its data, and without.
_NAMED_LINES = 3
_NAMELESS_LINES = 2
_CR = 0x0D
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event. `event` is `message` where the stream did not name it."""

    event: str
    data: bytes


class SseParser:
    """An incremental parser of one event stream. After an error it is of no further use."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._head: bytes | None = b""  # the first bytes while they may still be a byte order mark; then None
        self._tail: list[bytes] = []  # the chunks of a line whose end has not come; a list, so that joining is linear
        self._tail_bytes = 0
        self._after_cr = False  # the last chunk ended in CR: an LF that follows belongs to the same line end
        self._event = ""  # the `event` field of the event being gathered
        self._data: list[bytes] = []  # its `data` lines
        self._data_bytes = 0
        # A line that named an event, and the name in it: the next one is nearly always the same.
        self._last_line, self._last_name = b"", ""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events they complete.

        Raises SseEventTooLargeError when the event being gathered outgrows the limit.
        """
        if self._head is not None:
            chunk = self._strip_byte_order_mark(chunk)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        if chunk[-1] == _LF:  # the usual chunk holds whole lines
            lines = (self._join_tail(chunk) if self._tail else chunk).splitlines()
            return self._only_event(lines) or self._take_lines(lines)
        return self._take_lines(self._split_open_end(chunk))

    def eof(self) -> bool:
        """Say whether the stream ended within an event (which the standard has us discard)."""
        tail = b"".join(self._tail)
        return bool(self._data or self._event or self._head or (tail and not tail.startswith(b":")))

    def _strip_byte_order_mark(self, chunk: bytes) -> bytes:
        chunk = (self._head or b"") + chunk
        if len(chunk) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(chunk):
            self._head = chunk
            return b""
        self._head = None
        return chunk.removeprefix(_BYTE_ORDER_MARK)

    def _join_tail(self, chunk: bytes) -> bytes:
        if not self._tail:
            return chunk
        self._tail.append(chunk)
        joined = b"".join(self._tail)
        self._tail.clear()
        self._tail_bytes = 0
        return joined

    def _split_open_end(self, chunk: bytes) -> list[bytes]:
        """Split a chunk that does not end in LF; keep what follows its last line end."""
        if chunk[-1] == _CR:  # ends a line at once: waiting for an LF would hold the event back
            self._after_cr = True
            return self._join_tail(chunk).splitlines()
        if b"\n" not in chunk and b"\r" not in chunk:
            lines, rest = [], chunk
        else:
            lines = self._join_tail(chunk).splitlines()
            rest = lines.pop()
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        if self._tail_bytes + self._data_bytes > self._limit_bytes:
            raise SseEventTooLargeError(self._limit_bytes)
        return lines

    def _only_event(self, lines: list[bytes]) -> list[SseEvent] | None:
        """Return the one event of these lines where they have the form that nearly all have: a name or none, data, end.

        None for any other form, and then nothing has changed.
        """
        named = len(lines) == _NAMED_LINES and lines[0].startswith(b"event: ")
        if not (named or (len(lines) == _NAMELESS_LINES and not self._event)) or lines[-1] or self._data:
            return None
        data = lines[-2]
        if not data.startswith(b"data: ") or len(data) > self._limit_bytes:
            return None
        if not named:
            return [SseEvent("message", data[6:])]
        if lines[0] != self._last_line:
            self._last_line, self._last_name = lines[0], lines[0][7:].decode("utf-8", "replace")
        self._event = ""
        return [SseEvent(self._last_name or "message", data[6:])]

    def _take_lines(self, lines: list[bytes]) -> list[SseEvent]:
        events = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    # The standard dispatches on an empty line if there was any `data` field, even an empty one.
                    joined = data[0] if len(data) == 1 else b"\n".join(data)
                    events.append(SseEvent(self._event or "message", joined))
                    data.clear()
                    self._data_bytes = 0
                self._event = ""
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._data_bytes += len(value) + 1
                if self._data_bytes > self._limit_bytes:
                    raise SseEventTooLargeError(self._limit_bytes)
            elif line.startswith(b"event:"):
                value = line[7:] if line[6:7] == b" " else line[6:]
                self._event = value.decode("utf-8", "replace")
            elif line == b"data":
                data.append(b"")
                self._data_bytes += 1
            elif line == b"event":
                self._event = ""
        return events
