"""Attachments: all responses that one socket follows.

Owns which they are, the lanes of this very socket, and its holds on session channels. Guarantees: whatever was
attached or held is let go by `close`, which is no stop: the jobs go on, and can be retrieved.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from andon.ids import ResponseId, SessionTag
from andon.replies import Whose
from andon.store import Store
from gateway.attachment import Attachment
from gateway.hub import Hub
from gateway.outbox import Outbox


class Attachments:
    """Live attachments by response id, in the order of their attaching."""

    __slots__ = ("_attached", "_held", "_hub", "_lanes", "_on_ended", "_on_lost", "_outbox", "_spawn", "_store")

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        outbox: Outbox,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_ended: Callable[[Attachment], None],
        on_lost: Callable[[Attachment], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._outbox = outbox
        self._spawn = spawn
        self._on_ended = on_ended
        self._on_lost = on_lost
        self._attached: dict[ResponseId, Attachment] = {}
        # Lanes that were ever used here: a cancel of any other is a mistake worth telling.
        self._lanes: set[str] = set()
        self._held: set[SessionTag] = set()

    def __len__(self) -> int:
        """Return how many responses are live on this socket."""
        return len(self._attached)

    def __contains__(self, response_id: ResponseId) -> bool:
        """Tell whether the socket follows this response."""
        return response_id in self._attached

    def holds(self, tag: SessionTag) -> bool:
        """Tell whether a session's channel is held: then `hold` waits for nothing."""
        return tag in self._held

    async def hold(self, tag: SessionTag) -> None:
        """Subscribe to a session's channel, once a socket. Raises StoreUnavailable."""
        if tag not in self._held:
            self._held.add(tag)
            await self._hub.hold(tag)

    def attach(
        self,
        response_id: ResponseId,
        *,
        starting_after: int,
        abandon_s: float,
        whose: Whose,
        stream_id: str | None = None,
        is_created_here: bool = False,
    ) -> Attachment:
        """Follow a response; one that was followed already is followed anew, from where it is asked now."""
        if (old := self._attached.get(response_id)) is not None:
            self.detach(old)
        attachment = Attachment(
            response_id,
            starting_after=starting_after,
            stream_id=stream_id,
            is_created_here=is_created_here,
            abandon_s=abandon_s,
            whose=whose,
            store=self._store,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=self._ended,
            on_lost=self._lost,
        )
        if is_created_here:
            self._lanes.add(stream_id or "")
        self._attached[response_id] = attachment
        self._hub.add(response_id, attachment)
        return attachment

    def detach(self, attachment: Attachment) -> None:
        """Follow a response no more. It is not a stop."""
        attachment.close()
        self._hub.remove(attachment.response_id, attachment)
        if self._attached.get(attachment.response_id) is attachment:
            del self._attached[attachment.response_id]

    def close(self) -> None:
        """Let everything go."""
        for attachment in list(self._attached.values()):
            self.detach(attachment)
        for tag in self._held:
            self._hub.release(tag)
        self._held.clear()

    def busy_lanes(self) -> set[str]:
        """Return the lanes of this socket in which something is live or waits."""
        return {attachment.stream_id or "" for attachment in self._attached.values() if attachment.is_created_here}

    def knows_lane(self, stream_id: str) -> bool:
        """Tell whether anything was ever created in this lane of this socket."""
        return stream_id in self._lanes

    def in_lane(self, stream_id: str) -> list[ResponseId]:
        """Return what is live or waits in this lane of this socket, in order."""
        return [
            response_id
            for response_id, attachment in self._attached.items()
            if attachment.is_created_here and attachment.stream_id == stream_id
        ]

    def on_drained(self) -> None:
        """Let those that wait for room go on."""
        for attachment in tuple(self._attached.values()):
            attachment.on_drained()

    def _ended(self, attachment: Attachment) -> None:
        self.detach(attachment)
        self._on_ended(attachment)

    def _lost(self, attachment: Attachment) -> None:
        self.detach(attachment)
        self._on_lost(attachment)
