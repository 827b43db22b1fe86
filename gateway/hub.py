"""Hub: which responses somebody on this gateway listens to.

Owns the subscriptions to session channels (one a session, however many sockets), and the fan-out of published batches
to listeners. Does not own delivery: a listener decides what to do with a batch. Guarantees: a listener that was added
under a held session hears every batch published after, or is told that it may have missed some.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog

from andon import keys
from andon.database import Database
from andon.errors import ContractError
from andon.frames import Batch, parse_batch
from andon.ids import ResponseId, SessionTag, tag_of
from andon.telemetry import SILENT, Telemetry
from gateway.lookout import BLIND

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Somebody who follows one response. Both methods are called within the reader and must not wait."""

    def on_batch(self, batch: Batch) -> None:
        """Take a published batch."""
        ...

    def on_missed(self) -> None:
        """Batches may have been missed: read the log."""
        ...

    def on_audit(self) -> None:
        """Read the log if nothing was heard since the last audit."""
        ...


class Hub:
    """Session channels in, listeners out."""

    def __init__(
        self,
        database: Database,
        *,
        timeout_s: float,
        ping_every_s: float,
        lookout: Callable[[], None] = BLIND,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._telemetry = telemetry
        # Called after each batch: there may be many in a turn of the loop.
        self._lookout = lookout
        self._subscriber = database.subscriber(
            sharded=True,
            timeout_s=timeout_s,
            ping_every_s=ping_every_s,
            on_message=self._on_message,
            on_confirmed=self._on_confirmed,
        )
        # How many hold each session's channel; at none it is unsubscribed.
        self._holds: Counter[SessionTag] = Counter()
        # Channels that were confirmed since they are held: one that is confirmed anew was deaf in between.
        self._confirmed: set[str] = set()
        # By channel and response: a message, and a confirmation, look at those of their own session only.
        self._listeners: dict[str, dict[ResponseId, set[Listener]]] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Hub"]:
        """Keep the subscription's connection up for as long as the context lasts."""
        async with self._subscriber.open():
            yield self

    @property
    def deaf(self) -> bool:
        """Tell whether any channel is unconfirmed at this moment."""
        return self._subscriber.deaf

    async def hold(self, tag: SessionTag) -> None:
        """Subscribe to a session's channel and wait for the confirmation. Each hold needs its `release`.

        Raises StoreUnavailable if the confirmation does not come in time; the hold stands all the same.
        """
        self._holds[tag] += 1
        await self._subscriber.subscribe(keys.events(tag))

    def hold_soon(self, tag: SessionTag) -> None:
        """Subscribe without waiting: listeners are told by `on_missed` once it is confirmed. Needs its `release`."""
        self._holds[tag] += 1
        self._subscriber.want(keys.events(tag))

    def release(self, tag: SessionTag) -> None:
        """Give up one hold."""
        self._holds[tag] -= 1
        if self._holds[tag] <= 0:
            del self._holds[tag]
            self._confirmed.discard(keys.events(tag))
            self._subscriber.unsubscribe(keys.events(tag))

    def add(self, response_id: ResponseId, listener: Listener) -> None:
        """Let a listener follow a response."""
        session = self._listeners.setdefault(keys.events(tag_of(response_id)), {})
        session.setdefault(response_id, set()).add(listener)

    def remove(self, response_id: ResponseId, listener: Listener) -> None:
        """End a listener's following."""
        channel = keys.events(tag_of(response_id))
        session = self._listeners.get(channel, {})
        listeners = session.get(response_id, set())
        listeners.discard(listener)
        if not listeners:
            session.pop(response_id, None)
        if not session:
            self._listeners.pop(channel, None)

    def listeners(self) -> list[Listener]:
        """List every listener: the audit tells them all to look at the log."""
        return [
            listener for session in self._listeners.values() for listeners in session.values() for listener in listeners
        ]

    def _on_message(self, channel: str, message: bytes) -> None:
        try:
            batch = parse_batch(message)
        except (ContractError, ValueError) as error:
            _log.warning("hub.foreign_message", channel=channel, error=str(error))
            return
        session = self._listeners.get(channel)
        listeners = session.get(batch.response_id) if session is not None else None
        if listeners is None:
            return
        for listener in tuple(listeners):
            if batch.frames:
                listener.on_batch(batch)
            else:
                listener.on_missed()
        self._lookout()

    def _on_confirmed(self, channel: str) -> None:
        if channel in self._confirmed and channel in self._listeners:
            self._telemetry.gap_found()
        self._confirmed.add(channel)
        for listeners in list(self._listeners.get(channel, {}).values()):
            for listener in tuple(listeners):
                listener.on_missed()
