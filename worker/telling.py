"""Telling: what a run that is over tells of the stop that reached it.

Owns which of it is told, and what counts as thrown away. Does no I/O.
"""

from andon.pieces import Delta, Event
from andon.telemetry import StopEnd, StopPath, Telemetry
from worker.backlog import text_of
from worker.logbook import Logbook
from worker.pump import Pump
from worker.verdict import Loss, Stopped


def tell_stop(telemetry: Telemetry, stopped: Stopped | None, loss: Loss | None, pump: Pump, book: Logbook) -> None:
    """Tell how a stop reached the run and how that ended; nothing if none did. Call it after the ending."""
    if stopped is None:
        if loss is Loss.LEASE:
            telemetry.stopped(StopPath.SWITCH, StopEnd.LEFT)
        return
    telemetry.stopped(stopped.path, StopEnd.SETTLED if loss is None else StopEnd.LEFT)
    dropped = text_of(piece for piece in pump.dropped if isinstance(piece, Delta | Event))
    # In flight when the mark was set, gathered behind that, or read while the connection was being closed.
    telemetry.threw_away(book.unlogged_text() + dropped)
    # One that ended by itself before the stop was heard was not closed by it.
    if pump.closed_at is not None and pump.closed_at >= stopped.heard_at:
        telemetry.upstream_closed(stopped.path, requested_at=stopped.stop.requested_at, closed_at=pump.closed_at)
