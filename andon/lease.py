"""Lease: a worker's renewed promise that it lives and hears stops, and the tombstone that ends it.

Owns the lease key, the worker's entry in the index of workers, and the worker's job set as others read it. Expiry is
judged by Redis' clock; the worker judges itself by its own monotonic clock (`worker.switch`). Guarantees: after
`bury` said dead, no renewal of that id ever succeeds; and whatever Redis loses, it says so of nobody who renews within
a lease.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import msgspec
import structlog

from andon import keys
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.frames import encode
from andon.ids import ResponseId, WorkerId
from andon.script import script

_log = structlog.get_logger(__name__)

KEYS_TTL_MS: Final = 86400 * 1000  # lease, job set and tombstone outlive any outage that somebody would sit out


class About(msgspec.Struct, frozen=True):
    """What a worker says of itself at each beat: for consoles, never for decisions."""

    host: str
    pid: int
    live: int
    concurrency: int
    draining: bool
    # Tasks of its event loop: what a leak would show in.
    tasks: int = 0
    # Runs of a source of one's own that were stopped and would not end.
    left_behind: int = 0


class Standing(msgspec.Struct, frozen=True):
    """A worker as its lease says. `left_s`: until the lease runs out, on Redis' clock; negative: it has."""

    id: WorkerId
    about: About
    left_s: float
    is_dead: bool


class Leases:
    """The leases of all workers."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._lease_ms = int(lease_s * 1000)
        # In a cluster: who is in the index, as far as is known. Only those whom this process renews.
        self._listed: set[WorkerId] = set()

    async def renew(self, worker_id: WorkerId, about: About) -> bool:
        """Renew the lease; False if this id was declared dead, for good.

        In a cluster the index is on another node than the lease. Before the first renewal the entry is waited for;
        afterwards it is repeated beside the renewal, or no worker's lease would outlast an outage of that one node.
        """
        listing = asyncio.gather(
            self._database.call("ZADD", keys.WORKERS, 0, worker_id),
            self._database.call("PEXPIRE", keys.WORKERS, KEYS_TTL_MS),
        )
        if worker_id in self._listed:
            listing.add_done_callback(lambda listing: self._note(worker_id, listing))
        elif self._database.is_spread:
            await self._stand_listed(worker_id, listing)
            self._listed.add(worker_id)
        reply = self._database.eval(
            script("renew"),
            [keys.lease(worker_id), keys.worker_jobs(worker_id)],
            [self._lease_ms, KEYS_TTL_MS, encode(about)],
        )
        if not self._database.is_spread:
            await self._stand_listed(worker_id, listing)
        return bool((await reply)[0] == b"ok")

    def _note(self, worker_id: WorkerId, listing: "asyncio.Future[Any]") -> None:
        """Take note of a repeated entry. One that could not be sent stands as before; one that was refused may not."""
        error = None if listing.cancelled() else listing.exception()
        if isinstance(error, StoreUnavailable) and error.code != "store_full":
            _log.info("lease.index_away", worker=worker_id, error=str(error))
        elif error is not None:
            self._listed.discard(worker_id)  # the next renewal waits, and tells

    async def _stand_listed(self, worker_id: WorkerId, listing: Awaitable[Any]) -> None:
        try:
            await listing
        except StoreUnavailable:
            # A full Redis refuses even to repeat an entry. The lease must stand all the same, or fullness would kill
            # every stream; but never for a worker that nobody would find.
            if await self._database.call("ZSCORE", keys.WORKERS, worker_id) is None:
                raise

    async def bury(self, worker_id: WorkerId, *, by_itself: bool = False) -> bool:
        """Declare a worker dead if its lease has run out (or it asks itself); tell whether it is.

        One whose lease is missing is not dead, for Redis may have come back empty: it has a lease's time to renew it.
        """
        reply = await self._database.eval(
            script("bury"), [keys.lease(worker_id)], [KEYS_TTL_MS, "1" if by_itself else "0", self._lease_ms]
        )
        return bool(reply[0] == b"dead")

    async def workers(self) -> list[WorkerId]:
        """List the workers of the index: a superset of those that live."""
        members = await self._database.call("ZRANGE", keys.WORKERS, 0, -1)
        return [WorkerId(member.decode()) for member in members]

    async def about(self, worker_id: WorkerId) -> About | None:
        """Read what a worker last said of itself, if its key is still there."""
        text = await self._database.call("HGET", keys.lease(worker_id), "about")
        return msgspec.json.decode(text, type=About) if text else None

    async def standings(self) -> list[Standing]:
        """Read how all workers of the index stand; those whose lease Redis has lost are left out."""
        ids = await self.workers()
        clock = self._database.call("TIME")
        replies = [self._database.call("HMGET", keys.lease(wid), "about", "expires_at_ms", "dead") for wid in ids]
        seconds, micros = await clock
        now = int(seconds) + int(micros) / 1e6
        found = []
        for worker_id, reply in zip(ids, replies, strict=True):
            about, expires_at_ms, dead = await reply
            if about is not None:
                left_s = int(expires_at_ms or 0) / 1000 - now
                found.append(
                    Standing(worker_id, msgspec.json.decode(about, type=About), round(left_s, 3), dead is not None)
                )
        return found

    async def jobs(self, worker_id: WorkerId) -> list[ResponseId]:
        """List the jobs that this worker may own: a superset."""
        members: list[Any] = await self._database.call("SMEMBERS", keys.worker_jobs(worker_id))
        return [ResponseId(member.decode()) for member in members]

    async def remove(self, worker_id: WorkerId) -> None:
        """Take a dead worker whose jobs have all been ended out of the index; its tombstone stays."""
        await asyncio.gather(
            self._database.call("ZREM", keys.WORKERS, worker_id),
            self._database.call("DEL", keys.worker_jobs(worker_id)),
        )
