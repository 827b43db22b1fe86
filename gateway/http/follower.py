"""Follower: one response followed on behalf of one HTTP request.

Owns an attachment of its own with its outbox, and the hold on the session's channel. Guarantees what an attachment
guarantees: every event once, in order; nothing is held in memory for a slow reader. While it is open, the response
counts as attached. Letting it go is no stop.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog

from andon.closecodes import CLOSE_CODES, CloseCode
from andon.errors import StoreUnavailable
from andon.ids import ResponseId, tag_of
from andon.lifetime import Spawned
from andon.logs import about
from andon.replies import Whose
from andon.store import Store
from gateway.attachment import Attachment
from gateway.auth.permit import Permit
from gateway.hub import Hub
from gateway.outbox import Outbox

_log = structlog.get_logger(__name__)


JOB_LOST: Final = "job_lost"


class Follower:
    """The events of a response that was accepted. For use by one task."""

    def __init__(
        self,
        response_id: ResponseId,
        *,
        permit: Permit | None,
        starting_after: int,
        abandon_s: float,
        whose: Whose,
        store: Store,
        hub: Hub,
        most_bytes: int,
    ) -> None:
        self.response_id = response_id
        # What its client was let in with; None: nobody looks whether that still holds.
        self.permit = permit
        # Sequence number of the event that was delivered last.
        self.delivered = starting_after
        self._hub = hub
        # Set when there is a frame to take, or an end.
        self._ready = asyncio.Event()
        self._outbox = Outbox(most_bytes, on_waiting=self._ready.set)
        # Size of the frame that was given last, and is being sent.
        self._given_bytes = 0
        # Reads of the log.
        self._spawn = Spawned(self._task_crashed)
        self._attachment = Attachment(
            response_id,
            starting_after=starting_after,
            stream_id=None,
            is_created_here=False,
            abandon_s=abandon_s,
            whose=whose,
            store=store,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=lambda _: self.close(CloseCode.DONE, CLOSE_CODES[CloseCode.DONE][0]),
            on_lost=lambda _: self.close(CloseCode.INTERNAL, JOB_LOST),
        )
        self._attachment.accepted = True

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Follower"]:
        """Follow for as long as the context lasts."""
        tag = tag_of(self.response_id)
        self._hub.add(self.response_id, self._attachment)
        try:
            try:
                await self._hub.hold(tag)
            except StoreUnavailable as error:
                # The subscription is confirmed later; the attachment reads the log then.
                _log.info("follower.unsubscribed", **about(self.response_id, self._attachment.whose), error=str(error))
            self._attachment.on_missed()
            yield self
        finally:
            self._attachment.close()
            self._hub.remove(self.response_id, self._attachment)
            self._hub.release(tag)
            await self._spawn.close()

    async def next(self) -> bytes | None:
        """Wait for the next frame; None at the end, which `ending` then names. Cancelling the wait is safe."""
        # Whoever asks for the next one has sent the last one.
        self._outbox.sent(self._given_bytes)
        self._given_bytes = 0
        while (frame := self._outbox.take()) is None:
            if self._outbox.closing is not None:
                return None
            self._ready.clear()
            await self._ready.wait()
        self.delivered += 1
        self._given_bytes = len(frame)
        if self._outbox.is_low:
            self._attachment.on_drained()
        return frame

    @property
    def ending(self) -> CloseCode | None:
        """Tell why nothing follows: what a socket's close would say. `DONE`: the terminal event was delivered."""
        return None if self._outbox.closing is None else CloseCode(self._outbox.closing[0])

    @property
    def reason(self) -> str:
        """Name the cause within `ending`; empty while there is none."""
        return "" if self._outbox.closing is None else self._outbox.closing[1]

    @property
    def has_ended(self) -> bool:
        """Tell whether the response itself has ended."""
        return self._attachment.status is not None

    def close(self, code: CloseCode, reason: str) -> None:
        """End the following after what is queued."""
        self._outbox.close(code, reason)

    def lapse(self, reason: str) -> None:
        """End the following: what its client was let in with holds no more."""
        self.close(CloseCode.UNAUTHORIZED, reason)

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """End the following of a reader that is too far behind for too long; it can retrieve."""
        if self._outbox.closing is not None or not self._outbox.is_too_slow(now, slow_reader_s):
            return False
        _log.info("follower.too_slow", **about(self.response_id, self._attachment.whose))
        self._outbox.drop_and_close(CloseCode.TOO_SLOW, CLOSE_CODES[CloseCode.TOO_SLOW][0])
        return True

    def _task_crashed(self, _: asyncio.Task[None], error: BaseException) -> None:
        _log.error("follower.task_crashed", **about(self.response_id, self._attachment.whose), exc_info=error)
        self.close(CloseCode.INTERNAL, "internal")
