"""Appender: the appends of one run, one in flight at a time, for which no task and no future is made.

Owns how the most frequent of all commands becomes bytes: what a run never changes is packed once. Does not own what is
appended, nor what a reply means (`andon.replies.outcome_of`), nor repeats: `Store.append` sends the same command for
whoever can wait, and is the plain version. Guarantees that what was sent is answered exactly once, with the reply or
with the error that a future would raise, unless it is forgotten before.
"""

from collections.abc import Callable
from typing import Any, Final

from andon.database import Database
from andon.link import Argument, Call
from andon.script import script

_KEYS: Final = 2


class Appender:
    """The appends of one run. `on_reply` is told within the transport's callback: it must not wait, nor fail.

    Meets `andon.link.Receiver`.
    """

    __slots__ = ("_constant", "_database", "_live_ttl_ms", "_on_reply", "_packed", "_script", "is_under_way")

    def __init__(
        self, database: Database, constant: tuple[str | int, ...], live_ttl_ms: int, on_reply: Callable[[Any], None]
    ) -> None:
        self._database = database
        self._live_ttl_ms = live_ttl_ms
        self._on_reply = on_reply
        self._script = script("append")
        # The arguments that all of them share, from the command's name on; and the same as the wire has them, together
        # with the number of arguments of an append of one frame.
        self._constant: tuple[Argument, ...] = ("EVALSHA", self._script.sha, _KEYS, *constant)
        self._packed = b"*%d\r\n" % (len(self._constant) + 3) + b"".join(map(_bulk, self._constant))
        # Whether a reply is awaited.
        self.is_under_way = False

    def send(self, first: int, frames: list[bytes], now: float, *, renew: bool) -> None:
        """Append frames that are numbered from `first`. `now`: loop time. It may fail within this call."""
        ttl_ms, wire = self._live_ttl_ms if renew else 0, None
        if len(frames) == 1 and not renew:
            (frame,), number = frames, b"%d" % first
            wire = b"%b$%d\r\n%b\r\n$1\r\n0\r\n$%d\r\n%b\r\n" % (self._packed, len(number), number, len(frame), frame)
        self.is_under_way = True
        self._database.queue(
            Call(
                (*self._constant, first, ttl_ms, *frames),
                self,
                now + self._database.timeout_s,
                self._script.text,
                wire,
            )
        )

    def forget(self) -> None:
        """Tell of no reply any more: the run is over. What was not sent yet is not sent."""
        self.is_under_way = False

    # ── for the link ─────────────────────────────────────────────────────────────────────────────────────────────

    def done(self) -> bool:
        """Tell whether no reply is awaited."""
        return not self.is_under_way

    def set_result(self, result: Any, /) -> None:
        """Take the reply."""
        self.is_under_way = False
        self._on_reply(result)

    def set_exception(self, exception: Exception, /) -> None:
        """Take what came instead of it: it is told like a reply."""
        self.is_under_way = False
        self._on_reply(exception)

    def exception(self) -> None:
        """Return nothing: it was told."""


def _bulk(argument: Argument) -> bytes:
    text = argument if isinstance(argument, bytes) else str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)
