import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from andon import keys
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.queue import Queue
from andon.store import Store
from tests.contract.jobs import OTHER_WORKER, WORKER, submission, submitted
from tests.stack.waiting import wait_until

BLOCK_S = 0.5


@pytest.fixture
async def reader(valkey: EmbeddedValkey) -> AsyncIterator[Database]:
    async with Database(valkey.url, timeout_s=2.0).open() as reader:
        await reader.wait_connected(5)
        yield reader


@pytest.fixture
async def queue(database: Database, reader: Database) -> Queue:
    made = Queue(database, reader, WORKER)
    assert await made.read(1, block_s=BLOCK_S) == []  # makes the group
    return made


@pytest.fixture
def other(database: Database, reader: Database) -> Queue:
    return Queue(database, reader, OTHER_WORKER)


async def pending(database: Database) -> int:
    """Count the entries that some reader holds."""
    summary = await database.call("XPENDING", keys.QUEUE, keys.QUEUE_GROUP)
    return int(summary[0])


async def test_what_was_submitted_is_read_once_in_order(queue: Queue, other: Queue, real_store: Store) -> None:
    """Two readers share the entries; none gets what the other holds."""
    rids = [await submitted(real_store) for _ in range(3)]
    first = await queue.read(2, block_s=BLOCK_S)
    second = await other.read(2, block_s=BLOCK_S)
    assert [entry.response_id for entry in (*first, *second)] == rids
    assert abs(first[0].written_at_s - time.time()) < 5


async def test_a_read_waits_for_the_entry(queue: Queue, real_store: Store) -> None:
    """An idle worker gets a job within the time of a message."""
    waiting = asyncio.ensure_future(queue.read(1, block_s=5))
    rid = await submitted(real_store)
    async with asyncio.timeout(2):
        assert [entry.response_id for entry in await waiting] == [rid]


async def test_a_dropped_entry_is_gone_for_everybody(queue: Queue, other: Queue, database: Database) -> None:
    """Neither pending nor in the stream."""
    await queue.put(submission().response_id)
    entries = await queue.read(5, block_s=BLOCK_S)
    await queue.drop(entries)
    await queue.drop([])
    assert await database.call("XLEN", keys.QUEUE) == 0
    assert await pending(database) == 0
    assert await other.adopt(idle_s=0) == []


async def test_what_a_dead_reader_left_is_adopted(queue: Queue, other: Queue, database: Database) -> None:
    """An entry that was read stays pending until it is dropped, so a reader that dies loses nothing."""
    rids = [submission().response_id for _ in range(3)]
    for rid in rids:
        await queue.put(rid)
    left = await queue.read(3, block_s=BLOCK_S)
    await queue.drop(left[:1])
    assert await other.adopt(idle_s=60) == []
    assert [entry.response_id for entry in await other.adopt(idle_s=0)] == rids[1:]
    assert await pending(database) == 2


async def test_an_entry_deleted_while_pending_is_passed_over(queue: Queue, other: Queue, database: Database) -> None:
    """What another process swept is no entry, and no error."""
    await queue.put(submission().response_id)
    (entry,) = await queue.read(1, block_s=BLOCK_S)
    await database.call("XDEL", keys.QUEUE, entry.id)
    assert await other.adopt(idle_s=0) == []


async def test_a_reader_that_leaves_puts_back_what_it_holds(queue: Queue, other: Queue, database: Database) -> None:
    """Deleting a consumer drops what it holds: so that goes back into the queue first, for any reader."""
    rids = [submission().response_id for _ in range(2)]
    for rid in rids:
        await queue.put(rid)
    assert len(await queue.read(2, block_s=BLOCK_S)) == 2
    await queue.leave()
    assert await pending(database) == 0
    assert [entry.response_id for entry in await other.read(5, block_s=BLOCK_S)] == rids
    consumers = await database.call("XINFO", "CONSUMERS", keys.QUEUE, keys.QUEUE_GROUP)
    assert [row[1] for row in consumers] == [OTHER_WORKER.encode()]


async def test_a_reader_leaves_a_queue_that_is_gone(queue: Queue, database: Database) -> None:
    """A flushed Redis holds nothing to put back; that is no error of a worker that ends."""
    await database.call("FLUSHALL")
    await queue.leave()
    assert await database.call("DBSIZE") == 0


@pytest.mark.parametrize("call", [lambda q: q.read(1, block_s=0.05), lambda q: q.adopt(idle_s=0)])
async def test_a_missing_group_is_made_anew(
    queue: Queue, real_store: Store, database: Database, call: Callable[[Queue], Awaitable[object]]
) -> None:
    """After a FLUSHALL the queue works again, and entries that came before the group are read."""
    await database.call("FLUSHALL")
    rid = await submitted(real_store)
    assert await call(queue) == []
    assert [entry.response_id for entry in await queue.read(1, block_s=BLOCK_S)] == [rid]


async def test_two_readers_may_make_the_group_at_once(queue: Queue, other: Queue, database: Database) -> None:
    """The second finds it made; that is no error. The key never lasts for ever."""
    await database.call("FLUSHALL")
    await asyncio.gather(queue.adopt(idle_s=0), other.adopt(idle_s=0))
    assert await database.call("PTTL", keys.QUEUE) > 0


async def test_put_never_shortens_the_life_of_the_queue(queue: Queue, real_store: Store, database: Database) -> None:
    """A submit's time to live may be longer than a day; an entry put back does not cut it."""
    await submitted(real_store)
    await database.call("EXPIRE", keys.QUEUE, 500_000)
    await queue.put(submission().response_id)
    assert await database.call("TTL", keys.QUEUE) > 400_000


async def test_a_cancelled_read_loses_nothing(
    queue: Queue, other: Queue, real_store: Store, database: Database
) -> None:
    """What the server handed out to a reader that went away stays pending, and is adopted."""
    reading = asyncio.ensure_future(queue.read(1, block_s=2))
    blocked = ("CLIENT", "LIST", "TYPE", "normal")

    async def is_blocked() -> bool:
        return b"cmd=xreadgroup" in await database.call(*blocked)

    await wait_until(is_blocked)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    rid = await submitted(real_store)
    assert [entry.response_id for entry in await other.adopt(idle_s=0)] == [rid]
