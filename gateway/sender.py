"""Sender: what goes out on one open socket, in its order.

Owns the outbox, and what is sent when: at once, within whatever brought it, while the client takes it; else what waits
is in the outbox, and goes out when the wire says so. A large text goes out in pieces, so that pings get in between. The
close, once decided, is sent after all that is queued. Does not own what is said.
"""

from collections.abc import Callable

from andon.frames import Batch
from gateway.once import Once
from gateway.open_socket import OpenSocket
from gateway.outbox import Outbox
from gateway.wire import PIECE_BYTES


class Sender:
    """One socket's. `on_low`: told after a frame that left room to read from the log again."""

    __slots__ = ("_half_sent", "_is_flushing", "_on_low", "_once", "_wire", "outbox")

    def __init__(self, wire: OpenSocket, once: Once, *, most_bytes: int, on_low: Callable[[], None]) -> None:
        self._wire = wire
        self._once = once
        self._on_low = on_low
        self.outbox = Outbox(most_bytes, on_waiting=self.flush, send_batch=self._send_batch)
        # A frame of which a part was sent, and how much of it.
        self._half_sent: tuple[bytes, int] | None = None
        # Set while frames are being sent: what is put meanwhile goes out behind them.
        self._is_flushing = False

    def flush(self) -> None:
        """Send what is queued, in its order, for as long as the client takes it; then the close if one was decided."""
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            while self._wire.is_writable:
                if self._half_sent is not None and not self.outbox.is_dropped:
                    self._send_piece(*self._half_sent)
                elif (frame := self.outbox.take()) is not None:
                    self._send(frame)
                elif self.outbox.closing is not None:
                    self._wire.close(*self.outbox.closing)
                else:
                    return
        finally:
            self._is_flushing = False

    def _send_batch(self, batch: Batch) -> bool:
        """Send what was published as it was made for all sockets, if nothing is before it."""
        if self._is_flushing or self._half_sent is not None or not self._wire.is_writable:
            return False
        data = self._once.wire_of(batch)
        if data is None:
            return False
        self._wire.send_frames(data)
        return True

    def _send(self, frame: bytes) -> None:
        if len(frame) > PIECE_BYTES:
            self._send_piece(frame, 0)
        else:
            self._wire.send_text(frame)
            self._sent(len(frame), is_whole=True)

    def _send_piece(self, frame: bytes, at: int) -> None:
        """Send one piece of a large frame; not to its end if the reader turns out to be too slow meanwhile."""
        end = at + PIECE_BYTES
        piece, is_last = frame[at:end], end >= len(frame)
        self._wire.send_text(piece, is_first=at == 0, is_last=is_last)
        self._half_sent = None if is_last else (frame, end)
        self._sent(len(piece), is_whole=is_last)

    def _sent(self, size_bytes: int, *, is_whole: bool) -> None:
        self.outbox.sent(size_bytes)
        if is_whole and self.outbox.is_low:
            self._on_low()
