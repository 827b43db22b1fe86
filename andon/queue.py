"""Queue: the stream of responses that wait for a worker.

Owns how entries are read and dropped. An entry is a hint: it is written before the job and dropped after the claim,
so every queued job has one, and an entry may name a job that is not there yet, or no longer waits. Guarantees: an
entry that was read stays pending in the group until it is dropped, so a reader that dies loses nothing; `adopt` finds
what it left.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from redis.exceptions import ResponseError

from andon import keys
from andon.database import Database
from andon.hearer import hear, settle
from andon.ids import ResponseId, WorkerId
from andon.link import Argument

_ADOPT_AT_ONCE: Final = 100
_KEY_TTL_S: Final = 86400  # longer than any entry may wait
# Until a read that should have come back empty counts as lost.
_SPARE_S: Final = 2.0


class Entry(msgspec.Struct, frozen=True):
    """One entry. `written_at_s`: Unix seconds on Redis' clock."""

    id: str
    response_id: ResponseId

    @property
    def written_at_s(self) -> float:
        """Return when the entry was written: a stream id starts with its milliseconds."""
        return int(self.id.partition("-")[0]) / 1000


class Queue:
    """The queue as one worker reads it. `reader` is a connection of its own: its reads block."""

    def __init__(self, database: Database, reader: Database, worker_id: WorkerId) -> None:
        self._database = database
        self._reader = reader
        self._worker_id = worker_id

    async def read(self, most: int, *, block_s: float) -> list[Entry]:
        """Wait up to `block_s` for entries. Cancelling it is safe: what was read stays pending."""
        return await self._read(self._reader.call(*self._reading(most, block_s), timeout_s=block_s + _SPARE_S))

    async def read_to(self, take: Callable[[list[Entry]], None], most: int, *, block_s: float) -> None:
        """Read, and have the entries taken within the callback in which they came, where that can be."""
        if self._reader.is_spread:
            take(await self.read(most, block_s=block_s))
            return
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_reply(told: Any) -> None:
            if reply.done():
                return  # its reader was cancelled: what was read stays pending
            try:
                if told and not isinstance(told, Exception):
                    take(_entries(told[0][1]))
            except Exception as error:  # noqa: BLE001  raised to whoever reads
                reply.set_exception(error)
            else:
                settle(reply, told)

        hear(self._reader, [self._reading(most, block_s)], on_reply, timeout_s=block_s + _SPARE_S)
        await self._read(reply)

    def _reading(self, most: int, block_s: float) -> tuple[Argument, ...]:
        return (
            "XREADGROUP", "GROUP", keys.QUEUE_GROUP, self._worker_id,
            "COUNT", most, "BLOCK", max(1, int(block_s * 1000)), "STREAMS", keys.QUEUE, ">",
        )  # fmt: skip

    async def _read(self, reply: "asyncio.Future[Any]") -> list[Entry]:
        try:
            read = await reply
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()
            return []
        return _entries(read[0][1]) if read else []

    async def put(self, response_id: ResponseId) -> None:
        """Write an entry: for a job that was lost from the queue, or for one that was read and not claimed."""
        written = self._database.call("XADD", keys.QUEUE, "*", "job", response_id)
        expires = self._database.call("EXPIRE", keys.QUEUE, _KEY_TTL_S, "NX")
        await written
        await expires

    async def adopt(self, *, idle_s: float) -> list[Entry]:
        """Take over entries that some reader has held for so long without dropping them: it died, or never claimed."""
        command = (
            "XAUTOCLAIM", keys.QUEUE, keys.QUEUE_GROUP, self._worker_id, int(idle_s * 1000), "0",
            "COUNT", _ADOPT_AT_ONCE,
        )  # fmt: skip
        try:
            reply = await self._database.call(*command)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()
            return []
        return _entries(reply[1])

    async def drop(self, entries: list[Entry]) -> None:
        """Drop entries whose jobs are claimed, or wait no more."""
        if not entries:
            return
        ids = [entry.id for entry in entries]
        acked = self._database.call("XACK", keys.QUEUE, keys.QUEUE_GROUP, *ids)
        deleted = self._database.call("XDEL", keys.QUEUE, *ids)
        await acked
        await deleted

    async def leave(self) -> None:
        """Leave the queue; what this reader still holds goes back into it."""
        await bequeath(self._database, self._worker_id)

    async def _make_group(self) -> None:
        """Make the group, from the first entry on; the key is made with it, and lives as any submit renews it."""
        created = self._database.call("XGROUP", "CREATE", keys.QUEUE, keys.QUEUE_GROUP, "0", "MKSTREAM")
        expires = self._database.call("EXPIRE", keys.QUEUE, _KEY_TTL_S, "NX")
        try:
            await created
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker was first
                raise
        await expires


def _entries(rows: list[Any]) -> list[Entry]:
    entries = []
    for row in rows:
        if row is None or row[1] is None:
            continue  # deleted while it was pending
        fields = dict(zip(row[1][::2], row[1][1::2], strict=True))
        entries.append(Entry(row[0].decode(), ResponseId(fields[b"job"].decode())))
    return entries


async def bequeath(database: Database, worker_id: WorkerId) -> None:
    """Put what a dead reader holds back into the queue, then forget the reader. Raises StoreUnavailable.

    The new entry is written before the old one is dropped, so the queue stays a superset whatever dies in between.
    """
    try:
        while rows := await database.call(
            "XPENDING", keys.QUEUE, keys.QUEUE_GROUP, "-", "+", _ADOPT_AT_ONCE, worker_id
        ):
            for entry_id, *_ in rows:
                for entry in _entries(await database.call("XRANGE", keys.QUEUE, entry_id, entry_id)):
                    await database.call("XADD", keys.QUEUE, "*", "job", entry.response_id)
                await database.call("XACK", keys.QUEUE, keys.QUEUE_GROUP, entry_id)
                await database.call("XDEL", keys.QUEUE, entry_id)
        await database.call("XGROUP", "DELCONSUMER", keys.QUEUE, keys.QUEUE_GROUP, worker_id)
    except ResponseError as error:
        if not str(error).startswith(("NOGROUP", "ERR no such key", "ERR The XGROUP subcommand requires the key")):
            raise
