"""Watching: listens for the endings of responses that are being stopped.

Owns what is heard of them while somebody waits; does not own the wait, nor what is then read of the job. Guarantees: an
ending that is published within the block is told, and so is that one may have been missed.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from andon.frames import Batch
from andon.ids import ResponseId, tag_of
from gateway.hub import Hub


class SettledWatch:
    """Waits for the ending of one response. A listener of the hub."""

    def __init__(self) -> None:
        # Set by an ending that was published, and when one may have been missed.
        self.changed = asyncio.Event()

    def on_batch(self, batch: Batch) -> None:
        """Take note of an ending."""
        if batch.terminal:
            self.changed.set()

    def on_missed(self) -> None:
        """Take note that an ending may have been missed."""
        self.changed.set()

    def on_audit(self) -> None:
        """Look once more."""
        self.changed.set()


class Watching:
    """Listens for the endings of responses, within the block. Enter it in the call in which their stop is sent.

    The stop does not wait for it: where the subscription is confirmed later, the watch is told that it may have missed
    the ending, and the job is read.
    """

    def __init__(self, hub: Hub, response_ids: Iterable[ResponseId]) -> None:
        self._hub = hub
        self.watches = {response_id: SettledWatch() for response_id in response_ids}
        self._tags = {tag_of(response_id) for response_id in self.watches}

    def __enter__(self) -> Self:
        """Listen."""
        for response_id, listener in self.watches.items():
            self._hub.add(response_id, listener)
        for tag in self._tags:
            self._hub.hold_soon(tag)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        for response_id, listener in self.watches.items():
            self._hub.remove(response_id, listener)
        for tag in self._tags:
            self._hub.release(tag)
