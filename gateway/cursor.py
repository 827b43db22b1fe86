"""Cursor: where one socket stands in one response's log.

Owns the decision what to deliver next. Pure: batches in, frames or a gap out. Guarantees: frames are delivered in
order of their sequence number, each once, with none left out; after the terminal event nothing more.
"""

from enum import StrEnum
from typing import Final

import msgspec

from andon.frames import Batch
from andon.response import Status

_TERMINAL_PREFIXES: Final = tuple(
    f'{{"type":"response.{name}",'.encode() for name in ("completed", "incomplete", "failed")
)


class Gap(StrEnum):
    """Why a batch cannot be delivered as it is."""

    MISSING = "missing"  # something before it was missed: read it from the log
    ENDED = "ended"  # the terminal event was delivered
    SEEN = "seen"  # all of it was delivered before


class Cursor:
    """The next sequence number to deliver, and whether there is one."""

    def __init__(self, next_number: int = 0) -> None:
        self.next = next_number
        # Status of the response once its terminal event was delivered.
        self.ended: Status | None = None

    def take(self, batch: Batch) -> tuple[bytes, ...] | Gap:
        """Return the frames of a published batch that come next, and step over them; or say why there are none.

        Where that is all of them, it is the batch's own tuple.
        """
        if batch.first == self.next and not batch.terminal and self.ended is None and batch.frames:
            # Nearly always: what comes next, and no ending in it.
            self.next += len(batch.frames)
            return batch.frames
        if self.ended is not None:
            return Gap.ENDED
        if batch.after <= self.next:
            return Gap.SEEN
        if batch.first > self.next:
            return Gap.MISSING
        frames = batch.frames if batch.first == self.next else batch.frames[self.next - batch.first :]
        self._step(frames)
        return frames

    def take_logged(self, frames: list[bytes]) -> None:
        """Step over frames that were read from the log at `next`."""
        if frames:
            self._step(frames)

    def _step(self, frames: tuple[bytes, ...] | list[bytes]) -> None:
        self.next += len(frames)
        if is_terminal(frames[-1]):
            self.ended = terminal_status(frames[-1])


def is_terminal(frame: bytes) -> bool:
    """Tell whether a frame is a terminal event, without parsing it."""
    return frame.startswith(_TERMINAL_PREFIXES)


class _Terminal(msgspec.Struct):
    class Response(msgspec.Struct):
        """The one member that is read."""

        status: Status

    response: Response


def terminal_status(frame: bytes) -> Status:
    """Read the status out of a terminal frame: once a response, the only JSON that a gateway parses on the way out."""
    return msgspec.json.decode(frame, type=_Terminal).response.status
