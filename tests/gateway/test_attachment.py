import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from andon.errors import StoreUnavailable
from andon.frames import Batch
from andon.ids import ResponseId
from andon.replies import NOBODYS
from andon.response import Status
from andon.settings import Settings
from andon.store import Store
from gateway.attachment import Attachment
from gateway.outbox import Outbox
from tests.contract.fake import FakeDatabase

RID = ResponseId("resp_tag")
FRAME_BYTES = 100


def frame(number: int) -> bytes:
    """Make a frame whose number can be told from its bytes."""
    return b'{"type":"delta","sequence_number":%d}' % number + b" " * (FRAME_BYTES - 34 - len(str(number)))


def ending(status: Status = Status.COMPLETED) -> bytes:
    """Make a terminal frame."""
    return b'{"type":"response.completed","response":{"status":"%s"}}' % status.encode()


SLICE = 16


class LogStore(Store):
    """A store that is a log in memory; `reads` are the numbers that slices were asked from."""

    def __init__(self) -> None:
        super().__init__(FakeDatabase(), Settings())
        self.log: list[bytes] = []
        self.reads: list[int] = []
        self.is_there = True
        # How many events the job ended with; None while it is live.
        self.ended_with: int | None = None
        self.failures = 0

    async def log_from(self, rid: ResponseId, first: int) -> list[bytes]:
        """Read a slice, later: as a server would answer."""
        del rid
        await asyncio.sleep(0)
        self.reads.append(first)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return self.log[first : first + SLICE]

    async def holds(self, rid: ResponseId, length: int) -> bool:
        """Tell whether the job is there, and did not end with less."""
        del rid
        return self.is_there and (self.ended_with is None or self.ended_with >= length)


class Desk:
    """One attachment with its outbox, and what became of it."""

    def __init__(self, store: LogStore, *, starting_after: int = -1, most_bytes: int = 1 << 20) -> None:
        self.store = store
        self.outbox = Outbox(most_bytes, on_waiting=self._nothing)
        self.ended: list[Attachment] = []
        self.lost: list[Attachment] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.attachment = Attachment(
            RID,
            starting_after=starting_after,
            stream_id=None,
            is_created_here=False,
            abandon_s=0,
            whose=NOBODYS,
            store=store,
            outbox=self.outbox,
            spawn=self._spawn,
            on_ended=self.ended.append,
            on_lost=self.lost.append,
        )

    def _nothing(self) -> None:
        """Leave what waits in the outbox."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.append(task)
        return task

    def log_and_publish(self, *frames: bytes, is_lost: bool = False) -> None:
        """Log frames; publish them, unless that is what is lost."""
        first = len(self.store.log)
        self.store.log += frames
        if not is_lost:
            self.attachment.on_batch(Batch(RID, first, frames, terminal=frames[-1].startswith(b'{"type":"response.')))

    async def quiet(self) -> None:
        """Wait until no reading of the log is under way."""
        while waiting := [task for task in self.tasks if not task.done()]:
            await asyncio.gather(*waiting)

    def take_all(self) -> list[bytes]:
        """Take what is in the outbox, as the writer does."""
        return list(iter(self.outbox.take, None))

    async def drained(self) -> list[bytes]:
        """Be the writer until nothing more comes; return what was sent."""
        sent: list[bytes] = []
        while taken := self.take_all():
            sent += taken
            self.attachment.on_drained()
            await self.quiet()
        return sent


@pytest.fixture
def store() -> LogStore:
    return LogStore()


async def test_published_batches_are_forwarded_without_a_read(store: LogStore) -> None:
    """As long as the socket keeps up and nothing is missed, Redis is not asked."""
    desk = Desk(store)
    desk.log_and_publish(frame(0), frame(1))
    desk.log_and_publish(frame(2))
    desk.log_and_publish(ending())
    assert desk.take_all() == store.log
    assert store.reads == []
    assert desk.ended == [desk.attachment]
    assert desk.attachment.status is Status.COMPLETED


async def test_a_gap_is_filled_from_the_log(store: LogStore) -> None:
    """A batch was lost: the log is read from the number that is missing, and what comes meanwhile is left to that."""
    desk = Desk(store)
    desk.log_and_publish(frame(0))
    desk.log_and_publish(frame(1), is_lost=True)
    desk.log_and_publish(frame(2))
    desk.log_and_publish(frame(3))  # while the log is being read
    await desk.quiet()
    desk.log_and_publish(frame(4), ending())
    assert desk.take_all() == store.log
    assert store.reads[0] == 1
    assert desk.ended == [desk.attachment]


async def test_a_batch_seen_before_is_delivered_once(store: LogStore) -> None:
    """A replay overlaps what is live; nobody sees it twice."""
    desk = Desk(store, starting_after=1)
    batch = (frame(0), frame(1), frame(2))
    desk.log_and_publish(*batch)
    desk.attachment.on_batch(Batch(RID, 0, batch, terminal=False))
    assert desk.take_all() == [frame(2)]


async def test_what_was_missed_is_read_when_it_is_said_so(store: LogStore) -> None:
    """After a reconnect of the subscription, or by the audit: the ending is found in the log, and told once."""
    desk = Desk(store)
    desk.log_and_publish(*(frame(number) for number in range(600)), is_lost=True)
    desk.log_and_publish(ending(), is_lost=True)
    desk.attachment.on_missed()
    desk.attachment.on_missed()
    await desk.quiet()
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.take_all() == store.log
    assert desk.ended == [desk.attachment]


async def test_a_full_outbox_is_filled_no_further_and_goes_on_from_the_log(store: LogStore) -> None:
    """What comes while the socket is behind is not kept in memory: it is read by number once the socket drains."""
    most_bytes = 20 * FRAME_BYTES
    desk = Desk(store, most_bytes=most_bytes)
    for number in range(500):
        desk.log_and_publish(frame(number))
    desk.log_and_publish(ending())
    waiting = desk.take_all()
    assert sum(map(len, waiting)) <= most_bytes + FRAME_BYTES
    assert store.reads == []
    desk.attachment.on_drained()
    await desk.quiet()
    assert [*waiting, *(await desk.drained())] == store.log
    assert desk.ended == [desk.attachment]


async def test_a_store_that_is_away_is_read_again(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage in the middle of a replay loses nothing of it."""
    monkeypatch.setattr("gateway.attachment._STORE_RETRY_S", 0.001)
    desk = Desk(store)
    store.failures = 3
    desk.log_and_publish(frame(0), ending(), is_lost=True)
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.take_all() == store.log


async def test_only_what_was_accepted_can_be_lost(store: LogStore) -> None:
    """Before the answer of the submit an empty log says nothing; after it, a job that is gone is lost, told once."""
    desk = Desk(store)
    store.is_there = False
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.lost == []
    desk.attachment.accepted = True
    desk.attachment.on_missed()
    await desk.quiet()
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.lost == [desk.attachment]
    assert desk.ended == []


async def test_a_job_that_ended_before_what_was_delivered_is_lost(store: LogStore) -> None:
    """A failover lost the end of its log, and what was left was ended: no ending would ever come here."""
    desk = Desk(store)
    desk.attachment.accepted = True
    desk.log_and_publish(*(frame(number) for number in range(5)))
    store.log, store.ended_with = store.log[:3], 3
    desk.attachment.on_audit()
    desk.attachment.on_audit()
    await desk.quiet()
    assert desk.lost == [desk.attachment]


async def test_what_a_client_says_that_it_has_is_no_loss(store: LogStore) -> None:
    """A number beyond the end is its own mistake."""
    store.ended_with = 3
    desk = Desk(store, starting_after=9)
    desk.attachment.accepted = True
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.lost == []


async def test_a_job_that_is_there_is_not_lost_for_having_said_nothing(store: LogStore) -> None:
    """An empty slice is the usual case: nothing new."""
    desk = Desk(store)
    desk.attachment.accepted = True
    desk.attachment.on_missed()
    await desk.quiet()
    assert desk.lost == []


async def test_nothing_comes_after_a_close(store: LogStore) -> None:
    """A detached socket gets neither what is live nor what a read under way brings."""
    desk = Desk(store)
    desk.log_and_publish(frame(0), is_lost=True)
    desk.attachment.on_missed()
    await asyncio.sleep(0)
    desk.attachment.close()
    desk.log_and_publish(frame(1))
    desk.attachment.on_missed()
    await asyncio.gather(*desk.tasks, return_exceptions=True)
    assert desk.take_all() == []
    assert all(task.done() for task in desk.tasks)
