"""RFC 6455: the frames of a WebSocket as a server reads and writes them.

Owns the rules of the wire for one direction each: what a client may send, put together to whole messages, and the
heads of what is sent. Pure: bytes in, messages out. Does not own the closing handshake, or when to answer what.
Guarantees: no more than `most_bytes` of a message are held, and no frame is waited for that would exceed that; what
breaks a rule is told with the close code that the RFC names for it, after all that came whole before it.

`websockets` has these rules too, and the tests hold this reader against it: for any bytes, in any pieces, both say the
same. Its core costs 2 KiB an idle socket, and four times the time a frame.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, apply_mask  # type: ignore[attr-defined]  # with or without its extension

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTINUATION: Final = 0x0
_CONTROL_MOST_BYTES: Final = 125
_HEAD_BYTES: Final = 2
_MASK_BYTES: Final = 4
_LONE_TEXT: Final = 0x81  # the first byte of a text that is not fragmented
_HEAD_16_BYTES: Final = 4
# The second byte's lengths that say that two, or eight, bytes follow with the length.
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MOST_16: Final = 0xFFFF
# Codes of the protocol itself (section 7.4.1), which no table of an application has.
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009


class Kind(IntEnum):
    """What came whole: the opcodes of section 5.2, but for the continuation."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_DATA: Final = frozenset({Kind.TEXT, Kind.BINARY})
_CONTROL: Final = frozenset({Kind.CLOSE, Kind.PING, Kind.PONG})


class ViolationError(Exception):
    """The client broke a rule: its connection is to be failed with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """Reads what one client sends. Of no more use after a violation, or a close."""

    __slots__ = ("_kind", "_message", "_most_bytes", "_partial")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        # A frame that is not whole yet, from its head on; None, as most of the time: there is none.
        self._partial: bytearray | None = None
        # What came of a fragmented message, and its kind; None while there is none.
        self._message: bytearray | None = None
        self._kind = Kind.TEXT

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Take bytes; give each message and control frame that they make whole, in order. Raises ViolationError.

        Texts are UTF-8, closes have been looked at. To be iterated to its end, or up to a close.
        """
        whole: bytes | bytearray = data
        if self._partial is not None:
            self._partial += data
            whole, self._partial = self._partial, None
        at, end = 0, len(whole)
        while end - at >= _HEAD_BYTES:
            head, length, start = self._head(whole, at, end)
            if end < start + _MASK_BYTES + length:
                break
            payload_at = start + _MASK_BYTES
            payload = apply_mask(bytes(whole[payload_at : payload_at + length]), bytes(whole[start:payload_at]))
            at = payload_at + length
            taken = self._take(head, payload)
            if taken is not None:
                yield taken
        if at < end:
            self._partial = bytearray(memoryview(whole)[at:])

    def lone_text(self, data: bytes) -> bytes | None:
        """Take the bytes if they are one whole, plain text, as most that come are, and return it; None: `feed` them.

        It is what `feed` would give, with nothing made on the way.
        """
        if self._partial is not None or self._message is not None or len(data) < _HEAD_BYTES or data[0] != _LONE_TEXT:
            return None
        length, start = data[1] - _MASKED, _HEAD_BYTES
        if length == _LENGTH_16 and len(data) >= _HEAD_16_BYTES:
            length, start = data[2] << 8 | data[3], _HEAD_16_BYTES
        elif not 0 <= length < _LENGTH_16:
            return None
        payload_at = start + _MASK_BYTES
        if len(data) != payload_at + length or length > self._most_bytes:
            return None
        text = apply_mask(data[payload_at:], data[start:payload_at])
        return text if text.isascii() else None

    def _head(self, data: bytes | bytearray, at: int, end: int) -> tuple[int, int, int]:
        """Judge a frame by its head; return its first byte, the payload's length, and where the mask begins.

        Where the length itself has not come yet: one that lets the frame wait.
        """
        first, second = data[at], data[at + 1]
        length, start = second & 0x7F, at + _HEAD_BYTES
        self._check_head(first, second)
        if length >= _LENGTH_16:
            size = 2 if length == _LENGTH_16 else 8
            if end < start + size:
                return first, self._most_bytes, end
            length, start = int.from_bytes(data[start : start + size]), start + size
        # A control frame counts as nothing: it is no part of the message that it comes in.
        if first & 0x0F not in _CONTROL and length > self._most_bytes - len(self._message or b""):
            raise ViolationError(TOO_BIG, f"a message may have {self._most_bytes} bytes")
        return first, length, start

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & _RESERVED:
            raise ViolationError(PROTOCOL_ERROR, "reserved bits must be 0")
        if not second & _MASKED:
            raise ViolationError(PROTOCOL_ERROR, "a client's frames must be masked")
        if opcode in _CONTROL:
            if second & 0x7F > _CONTROL_MOST_BYTES:
                raise ViolationError(PROTOCOL_ERROR, "control frame too long")
            if not first & _FIN:
                raise ViolationError(PROTOCOL_ERROR, "fragmented control frame")
        elif opcode == _CONTINUATION:
            if self._message is None:
                raise ViolationError(PROTOCOL_ERROR, "unexpected continuation frame")
        elif opcode not in _DATA:
            raise ViolationError(PROTOCOL_ERROR, "invalid opcode")
        elif self._message is not None:
            raise ViolationError(PROTOCOL_ERROR, "expected a continuation frame")

    def _take(self, head: int, payload: bytes) -> tuple[Kind, bytes] | None:
        opcode = head & 0x0F
        if opcode in _CONTROL:
            if opcode == Kind.CLOSE:
                _check_close(payload)
            return Kind(opcode), payload
        if opcode != _CONTINUATION:
            self._kind = Kind(opcode)
        if not head & _FIN:
            if self._message is None:
                self._message = bytearray()
            self._message += payload
            return None
        if self._message is not None:
            payload, self._message = bytes(self._message + payload), None
        if self._kind is Kind.TEXT:
            _check_text(payload)
        return self._kind, payload


def _check_text(payload: bytes) -> None:
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise ViolationError(INVALID_TEXT, f"{error.reason} at position {error.start}") from error


def _check_close(payload: bytes) -> None:
    try:
        Close.parse(payload)
    except ProtocolError as error:
        raise ViolationError(PROTOCOL_ERROR, str(error)) from error
    except UnicodeDecodeError as error:
        raise ViolationError(INVALID_TEXT, f"{error.reason} at position {error.start}") from error


def frame(kind: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """Build a frame as a server sends it: not masked."""
    return head(kind, len(payload), is_last=is_last) + payload


def continuation(payload: bytes, *, is_last: bool) -> bytes:
    """Build a further piece of a message."""
    return frame(_CONTINUATION, payload, is_last=is_last)


def close_frame(code: int, reason: str) -> bytes:
    """Build a close frame. Raises websockets' ProtocolError for a code that no close may carry."""
    return frame(Kind.CLOSE, Close(code, reason).serialize())


def head(kind: int, length: int, *, is_last: bool = True) -> bytes:
    """Build the head of a frame with a payload of so many bytes."""
    first = kind | _FIN if is_last else kind
    if length < _LENGTH_16:
        return bytes((first, length))
    if length <= _MOST_16:
        return bytes((first, _LENGTH_16, length >> 8, length & 0xFF))
    return bytes((first, _LENGTH_64)) + length.to_bytes(8)
