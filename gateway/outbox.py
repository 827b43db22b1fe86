"""Outbox: the frames that wait to be sent on one socket.

Owns their order and the bound. Policy when full: a response's frames are not queued here any more; they are in the
log, and are read from there once the socket drains (`gateway.attachment`). Answers to the client's own commands are
always queued: they are bounded by the bound on its commands.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from andon.frames import Batch


class Outbox:
    """A queue of frames with a size, and one close at its end. `on_waiting`: told that there is something to send."""

    __slots__ = (
        "_behind_since",
        "_bytes",
        "_frames",
        "_most_bytes",
        "_on_waiting",
        "_send_batch",
        "_taken_since",
        "closing",
        "is_dropped",
    )

    def __init__(
        self,
        most_bytes: int,
        *,
        on_waiting: Callable[[], None],
        send_batch: Callable[[Batch], bool] | None = None,
    ) -> None:
        self._most_bytes = most_bytes
        self._on_waiting = on_waiting
        # Sends what was published as it is, or answers False; None: everything is queued.
        self._send_batch = send_batch
        # None until a frame is queued: an empty deque is 600 bytes, and most outboxes never hold anything.
        self._frames: deque[bytes] | None = None
        self._bytes = 0
        # Code and reason, once decided: sent after all frames.
        self.closing: tuple[int, str] | None = None
        # The reader was too slow: what was queued is gone, and what is half sent need not be finished.
        self.is_dropped = False
        # Loop time since which the socket has been behind, and what it has taken since: a slow reader is one that
        # takes less than the whole bound in a while.
        self._behind_since: float | None = None
        self._taken_since = 0

    def pass_by(self, batch: Batch) -> bool:
        """Send a whole batch past the queue, if nothing waits in it and the client takes it; tell whether it went."""
        return not self._frames and self.closing is None and self._send_batch is not None and self._send_batch(batch)

    @property
    def has_room(self) -> bool:
        """Tell whether a response's frames may be queued."""
        return self._bytes < self._most_bytes and self.closing is None

    @property
    def is_low(self) -> bool:
        """Tell whether it is worth while to read from the log again."""
        return self._bytes <= self._most_bytes // 2

    def put(self, frame: bytes) -> None:
        """Queue a frame. After a close was decided, frames are dropped."""
        if self.closing is None:
            if self._frames is None:
                self._frames = deque()
            self._frames.append(frame)
            self._bytes += len(frame)
            if self._behind_since is None and self._bytes >= self._most_bytes:
                self._behind_since, self._taken_since = asyncio.get_running_loop().time(), 0
            self._on_waiting()

    def is_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """Tell whether the reader was behind for so long, and took less than the whole bound meanwhile."""
        return self._behind_since is not None and now - self._behind_since > slow_reader_s

    def close(self, code: int, reason: str) -> None:
        """Decide the close; it is sent after the frames that are queued. The first decision stays."""
        if self.closing is None:
            self.closing = (code, reason)
            self._on_waiting()

    def drop_and_close(self, code: int, reason: str) -> None:
        """Decide the close and drop what is queued: the reader does not take it."""
        if self.closing is None:
            self.is_dropped = True
            self._frames = None
            self._bytes = 0
            self.close(code, reason)

    def take(self) -> bytes | None:
        """Return the next frame; None when there is none: then the close is next, if one was decided."""
        if not self._frames:
            self._behind_since = None
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def sent(self, size_bytes: int) -> None:
        """Take note that so much of what was taken went out: by pieces, for a frame may be larger than the bound."""
        self._taken_since += size_bytes
        if self._behind_since is not None and self._taken_since >= self._most_bytes:
            self._behind_since, self._taken_since = asyncio.get_running_loop().time(), 0
