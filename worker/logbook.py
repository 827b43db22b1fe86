"""Logbook: what of a run is in the log, what is on its way there, and what is not.

Owns numbering, the batch whose answer is unknown, and the fold of what is logged for sure. Does no I/O. Guarantees:
a batch that is sent again carries the same numbers; received text is counted once, wherever it stands.
"""

from typing import Any

from andon.frames import DeltaFramer, piece_frame
from andon.output import OutputFold, output_text
from andon.pieces import Delta, Event
from andon.replies import Claimed
from worker.backlog import Backlog, text_of

FIRST_OUTPUT_NUMBER = 2  # 0 is `response.created`, 1 is `response.in_progress`


class Logbook:
    """The written and the unwritten of one run."""

    def __init__(self, job: Claimed, *, most_bytes: int) -> None:
        self._envelope = job.envelope
        self._framer = DeltaFramer(job.envelope)
        self._fold = OutputFold()
        self.backlog = Backlog(most_bytes)
        # The number of the next event: all before it are in the log.
        self.next = job.next_number
        # Sent, answer unknown.
        self._in_flight: list[Delta | Event] = []
        # Folded for an ending, together with which they are to enter the log.
        self._last: list[Delta | Event] = []

    @property
    def is_untouched(self) -> bool:
        """Tell whether nothing of the model's is logged, on its way or received."""
        return self.next <= FIRST_OUTPUT_NUMBER and not self._in_flight and not self.backlog and not self._last

    def depart(self) -> list[bytes]:
        """Return the frames to send now, if any: the batch whose answer is unknown, else what may be logged next."""
        if not self._in_flight:
            self._in_flight = self.backlog.take()
        return self._frames(self._in_flight) if self._in_flight else []

    def in_flight(self) -> list[bytes]:
        """Return the frames whose answer is unknown."""
        return self._frames(self._in_flight)

    def arrived(self, length: int) -> None:
        """Take the log's length for the truth about the batch in flight: all of it is in the log, or nothing."""
        if self._in_flight and length == self.next + len(self._in_flight):
            for piece in self._in_flight:
                self._fold.add(piece)
            self.next = length
            self._in_flight = []

    def last_frames(self) -> list[bytes]:
        """Return all that is unwritten, to enter the log with the ending; it is folded already."""
        fresh = self.backlog.take_all()
        for piece in fresh:
            self._fold.add(piece)
        self._last += fresh
        return self._frames(self._last)

    @property
    def is_ahead(self) -> bool:
        """Tell whether pieces were folded that did not enter the log: a mark forestalled that ending."""
        return bool(self._last)

    def refold(self, frames: list[bytes]) -> None:
        """Fold anew what the log really holds. What was folded early counts as received and unlogged."""
        self._fold = OutputFold()
        self._fold.add_frames(frames)
        self._in_flight = self._last
        self._last = []

    def output(self) -> list[dict[str, Any]]:
        """Return the output items that the log (and an ending's last frames) tell."""
        return self._fold.items()

    def received_text(self) -> str:
        """Join all text that was received, logged or not: it was paid for."""
        return output_text(self._fold.items()) + self.unlogged_text()

    def unlogged_text(self) -> str:
        """Join the text that was received and is not in the log."""
        return text_of(self._in_flight) + self.backlog.text()

    def _frames(self, pieces: list[Delta | Event]) -> list[bytes]:
        return [
            piece_frame(piece, self.next + offset, self._envelope, self._framer) for offset, piece in enumerate(pieces)
        ]
