"""Attachment: one response on one socket.

Owns the cursor and how gaps are filled. Live batches are forwarded as they come while the socket keeps up; what was
missed, or did not fit, is read from the log by number, in slices, as fast as the socket drains. Nothing is held in
memory for a slow reader.

Guarantees: the socket gets every event of the response once, in order, from `starting_after` on; the ending is told
exactly once, after the terminal event was queued.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from andon.errors import StoreUnavailable
from andon.frames import Batch
from andon.ids import ResponseId
from andon.logs import about
from andon.replies import Whose
from andon.response import Status
from andon.store import Store
from gateway.cursor import Cursor, Gap
from gateway.outbox import Outbox

_log = structlog.get_logger(__name__)

_STORE_RETRY_S: Final = 0.2


class Attachment:
    """A listener of the hub that writes into a socket's outbox."""

    def __init__(
        self,
        response_id: ResponseId,
        *,
        starting_after: int,
        stream_id: str | None,
        is_created_here: bool,
        abandon_s: float,
        whose: Whose,
        store: Store,
        outbox: Outbox,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_ended: Callable[["Attachment"], None],
        on_lost: Callable[["Attachment"], None],
    ) -> None:
        self.response_id = response_id
        # A lane belongs to the socket that created in it; None is that socket's unnamed lane.
        self.stream_id = stream_id
        self.is_created_here = is_created_here
        # Seconds without anybody attached until the response is stopped; 0: never.
        self.abandon_s = abandon_s
        self.whose = whose
        self._cursor = Cursor(starting_after + 1)
        self._first = starting_after + 1
        self._store = store
        self._outbox = outbox
        self._spawn = spawn
        self._on_ended = on_ended
        self._on_lost = on_lost
        # The task that reads the log, if one does; live batches are left to it.
        self._filling: asyncio.Task[None] | None = None
        # Something was published, or may have been missed, since the filling task last read.
        self._behind = False
        self._closed = False
        # Whether a batch came since the last audit.
        self._heard = False
        # Set once the submit was answered: only what was accepted can be lost.
        self.accepted = False

    @property
    def status(self) -> Status | None:
        """Return the status of the response once its terminal event was delivered."""
        return self._cursor.ended

    def on_batch(self, batch: Batch) -> None:
        """Forward a published batch, or note that the log must be read."""
        self._heard = True
        if self._closed:
            return
        if self._filling is not None or not self._outbox.has_room:
            self._behind = True  # the filling task, or the drained socket, reads it from the log
            return
        frames = self._cursor.take(batch)
        if isinstance(frames, tuple):
            passed = frames is batch.frames and self._outbox.pass_by(batch)
            if not passed or self._cursor.ended is not None:
                self._deliver(() if passed else frames)
        elif frames is Gap.MISSING or (frames is Gap.SEEN and batch.terminal):
            # An ending among what was delivered: a failover lost the end of the log, and what was left was ended.
            if frames is Gap.MISSING and not self._behind:  # what the socket had no room for is no gap
                self._store.telemetry.gap_found()
            self._fill()

    def on_missed(self) -> None:
        """Read the log: batches may have been missed."""
        self._fill()

    def on_audit(self) -> None:
        """Read the log if nothing was heard since the last audit: a published ending may have been lost."""
        if not self._heard:
            self._fill()
        self._heard = False

    def on_drained(self) -> None:
        """Go on reading the log: the socket has room again."""
        if self._behind:
            self._fill()

    def close(self) -> None:
        """Detach: deliver nothing more."""
        self._closed = True
        if self._filling is not None:
            self._filling.cancel()

    def _deliver(self, frames: tuple[bytes, ...] | list[bytes]) -> None:
        for frame in frames:
            self._outbox.put(frame)
        if self._cursor.ended is not None:
            self._closed = True
            self._on_ended(self)

    def _fill(self) -> None:
        self._behind = True
        if self._filling is None and not self._closed:
            self._filling = self._spawn(self._read_log())

    async def _read_log(self) -> None:
        """Read slices from the log until nothing new is there, or the socket is full again."""
        try:
            while self._behind and self._outbox.has_room and not self._closed:
                self._behind = False
                await self._read_slices()
        except StoreUnavailable as error:
            _log.info("attachment.read_failed", **about(self.response_id, self.whose), error=str(error))
            self._behind = True
            await asyncio.sleep(_STORE_RETRY_S)
        finally:
            self._filling = None
            if self._behind and self._outbox.is_low:
                self._fill()

    async def _read_slices(self) -> None:
        while not self._closed:
            if not self._outbox.has_room:
                self._behind = True
                return
            frames = await self._store.log_from(self.response_id, self._cursor.next)
            if not frames:
                if await self._is_lost():
                    self._closed = True
                    self._on_lost(self)
                return
            self._cursor.take_logged(frames)
            self._deliver(frames)

    async def _is_lost(self) -> bool:
        """Tell whether Redis itself lost the job, or events of it that were delivered here."""
        # It was there once, for it was accepted. What a client says that it has is not checked: that is no loss.
        delivered = self._cursor.next if self._cursor.next > self._first else 0
        return self.accepted and not await self._store.holds(self.response_id, delivered)
