"""Progress: how many tokens the live runs of a worker have produced so far: for consoles, never for decisions.

Owns the one key a worker writes at each beat, in its own slot. It is a hint: late by a beat, gone soon after its
worker, and lost without harm. A token is a piece of text as the model server sent it, unless the server tells its own
count.
"""

from collections.abc import Awaitable
from typing import Any, Final

import msgspec

from andon import keys
from andon.database import Database
from andon.ids import ResponseId, WorkerId

# So that a reader finds the latest of a worker that missed a beat.
_TTL_LEASES: Final = 2

# Tokens so far, and tokens a second since the beat before.
Pace = tuple[int, float]


class Progress:
    """The progress of all workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, worker_id: WorkerId, runs: dict[ResponseId, Pace], *, lease_s: float) -> Awaitable[Any]:
        """Replace what this worker's runs have produced. Sent at once; whoever awaits it may meet StoreUnavailable."""
        ttl_ms = int(_TTL_LEASES * lease_s * 1000)
        return self._database.call("SET", keys.progress(worker_id), msgspec.json.encode(runs), "PX", ttl_ms)

    async def read(self, worker_ids: list[WorkerId]) -> dict[ResponseId, Pace]:
        """Read what the runs of these workers have produced. Raises StoreUnavailable."""
        replies = [self._database.call("GET", keys.progress(worker_id)) for worker_id in worker_ids]
        found: dict[ResponseId, Pace] = {}
        for reply in replies:
            text = await reply
            if text is not None:
                found.update(msgspec.json.decode(text, type=dict[ResponseId, Pace]))
        return found
