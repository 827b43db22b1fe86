import asyncio
import os
import signal
from typing import Any

from andon import keys
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.queue import Entry, Queue
from andon.replies import Claimed, Refused
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import OTHER_WORKER, WORKER, log_of, running, submission, submitted
from tests.stack.waiting import wait_until


class Told:
    """What claims that were begun told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.told: list[Any] = []

    async def claim(self, rid: ResponseId) -> Any:
        """Begin a claim, and return what it told."""
        before = len(self.told)
        assert self._store.begin_claim(rid, WORKER, self.told.append)
        await wait_until(lambda: len(self.told) > before)
        return self.told[-1]

    async def refused(self, rid: ResponseId) -> Claimed | Refused:
        """Begin a claim, and finish what is no job."""
        told = await self.claim(rid)
        assert not isinstance(told, Claimed)
        return await self._store.finish_claim(rid, WORKER, told)


async def test_a_claim_that_was_begun_tells_the_job_that_the_plain_one_returns(real_store: Store) -> None:
    """A repeat by the plain version answers the same; the job set was written, and expires."""
    rid = await submitted(real_store)
    claimed = await Told(real_store).claim(rid)
    assert isinstance(claimed, Claimed)
    assert await real_store.claim(rid, WORKER) == claimed
    assert len(await log_of(real_store, rid)) == 2
    assert await real_store.database.call("SMEMBERS", keys.worker_jobs(WORKER)) == [rid.encode()]
    assert await real_store.database.call("PTTL", keys.worker_jobs(WORKER)) > 0


async def test_a_refused_claim_is_finished_as_by_the_plain_version(real_store: Store) -> None:
    """Gone, taken, ended; and one that the claim itself settles gives the next of its lane its turn."""
    told = Told(real_store)
    assert await told.refused(submission().response_id) is Refused.GONE
    taken = await running(real_store, worker_id=OTHER_WORKER)
    assert await told.refused(taken.response_id) is Refused.TAKEN
    first, second = await submitted(real_store, lane="k/a"), await submitted(real_store, lane="k/a")
    # As a stop whose own settling was cut off leaves it.
    await real_store.database.call(
        "HSET", keys.job(first), "stop_at", "1.0", "stop_json", '{"by":"client","reason":null,"requested_at":1.0}'
    )
    assert await told.refused(first) is Refused.STOPPED
    job = await real_store.job(second)
    assert job is not None
    assert job.state == "queued"
    assert await told.refused(first) is Refused.ENDED


async def test_a_begun_claim_runs_where_the_server_has_forgotten_the_script(real_store: Store) -> None:
    """It is sent in full, once; the reply is told once."""
    rid = await submitted(real_store)
    await real_store.database.everywhere("SCRIPT", "FLUSH")
    told = Told(real_store)
    assert isinstance(await told.claim(rid), Claimed)
    assert len(told.told) == 1


async def test_a_begun_claim_whose_reply_is_lost_is_told_as_unavailable() -> None:
    """Once, whichever of its commands was lost; the plain version finds out what became of it."""
    with EmbeddedValkey() as server:
        async with Database(server.url, timeout_s=0.5).open() as database:
            await database.wait_connected(15)
            store = Store(database, Settings())
            rid = await submitted(store)
            told = Told(store)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                assert isinstance(await told.claim(rid), StoreUnavailable)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await wait_until(lambda: database.connected)
            assert isinstance(await store.claim(rid, WORKER), Claimed)
            assert len(told.told) == 1


async def test_entries_are_taken_as_they_come(database: Database, valkey: EmbeddedValkey) -> None:
    """Within the callback that brought them: the read returns afterwards, of the same entries as the plain one."""
    store = Store(database, Settings())
    async with Database(valkey.url, timeout_s=2.0).open() as reader:
        await reader.wait_connected(15)
        queue, taken = Queue(database, reader, WORKER), list[Entry]()
        await queue.read_to(taken.extend, 5, block_s=0.1)  # makes the group
        rids = [await submitted(store) for _ in range(2)]
        await queue.read_to(taken.extend, 5, block_s=5)
        assert [entry.response_id for entry in taken] == rids


async def test_what_a_cancelled_read_brings_is_not_taken(database: Database, valkey: EmbeddedValkey) -> None:
    """It stays pending, for whoever adopts it."""
    store = Store(database, Settings())
    async with Database(valkey.url, timeout_s=2.0).open() as reader:
        await reader.wait_connected(15)
        queue, taken = Queue(database, reader, WORKER), list[Entry]()
        await queue.read_to(taken.extend, 5, block_s=0.1)
        reading = asyncio.ensure_future(queue.read_to(taken.extend, 5, block_s=5))
        await wait_until(lambda: _holds(database, ("CLIENT", "LIST"), b"cmd=xreadgroup"))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        rid = await submitted(store)
        await wait_until(lambda: _holds(database, ("XPENDING", keys.QUEUE, keys.QUEUE_GROUP), WORKER.encode()))
        assert taken == []
        assert [entry.response_id for entry in await queue.adopt(idle_s=0)] == [rid]


async def _holds(database: Database, command: tuple[str, ...], words: bytes) -> bool:
    """Tell whether a reply has these words in it."""
    return words in repr(await database.call(*command)).encode()
