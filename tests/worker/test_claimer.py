import asyncio
import time
from collections.abc import Callable

import pytest

from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.queue import Entry, Queue
from andon.replies import Claimed, Refused
from tests.contract.fake import FakeDatabase
from tests.stack.waiting import wait_until
from tests.worker.fakes import WORKER, FakeRescuer, FakeScribe, FakeStore, Tasks, claimed
from worker.claimer import Claimer
from worker.roster import Roster

CONCURRENCY = 3


class FakeQueue(Queue):
    """Entries in memory: `waiting` are read, `dropped` are done with."""

    def __init__(self) -> None:
        super().__init__(FakeDatabase(), FakeDatabase(), WORKER)
        self.waiting: list[Entry] = []
        self.left_by_others: list[Entry] = []
        self.dropped: list[Entry] = []
        # Of each drop, how many at once.
        self.drops: list[int] = []
        self.returned: list[ResponseId] = []
        self.reads: list[int] = []
        self.failures = 0
        self.is_away = False

    async def read(self, most: int, *, block_s: float) -> list[Entry]:
        """Give what waits."""
        assert block_s > 0
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.reads.append(most)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    async def read_to(self, take: Callable[[list[Entry]], None], most: int, *, block_s: float) -> None:
        """Give what waits, to be taken."""
        take(await self.read(most, block_s=block_s))

    async def adopt(self, *, idle_s: float) -> list[Entry]:
        """Give what others left."""
        assert idle_s > 0
        taken, self.left_by_others = self.left_by_others, []
        return taken

    async def drop(self, entries: list[Entry]) -> None:
        """Keep which."""
        self.dropped += entries
        self.drops.append(len(entries))

    async def put(self, response_id: ResponseId) -> None:
        """Keep which."""
        if self.is_away:
            raise StoreUnavailable("away")
        self.returned.append(response_id)


class Desk:
    """A claimer and all that it holds."""

    def __init__(self) -> None:
        self.store, self.queue, self.tasks = FakeStore(), FakeQueue(), Tasks()
        self.roster = Roster(self.store, rescuer=FakeRescuer(), on_settled=lambda _: None, spawn=self.tasks.spawn)
        self.started: list[FakeScribe] = []
        self.hears = True
        self.claimer = Claimer(
            WORKER,
            queue=self.queue,
            store=self.store,
            roster=self.roster,
            concurrency=CONCURRENCY,
            hears=lambda: self.hears,
            start=self._start,
            spawn=self.tasks.spawn,
        )
        self.running = asyncio.ensure_future(self.claimer.run())

    def _start(self, job: Claimed) -> None:
        self.started.append(FakeScribe(job))
        self.roster.start(self.started[-1])

    def entry(self, *answers: Claimed | Refused, age_s: float = 0) -> Entry:
        """Make an entry whose claims are answered so; the first of them names the response."""
        first = answers[0] if answers and isinstance(answers[0], Claimed) else claimed()
        self.store.claims[first.response_id] = list(answers) or [first]
        return Entry(f"{int((time.time() - age_s) * 1000)}-{len(self.store.claims)}", first.response_id)

    async def end(self) -> None:
        """Stop claiming, and end all runs."""
        self.claimer.stop()
        for scribe in self.started:
            if scribe.response_id in self.roster:
                scribe.finish()
        async with asyncio.timeout(5):
            await self.running
        await self.tasks.done()


@pytest.fixture(params=["begun", "plain"])
async def desk(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Desk:
    """Give a claimer whose claims leave as their entries come, and one that has a task see to each."""
    monkeypatch.setattr("worker.claimer._STORE_RETRY_S", 0.002)
    monkeypatch.setattr("worker.claimer._NOT_THERE_YET_S", 0.002)
    made = Desk()
    made.store.begins_claims = request.param == "begun"
    return made


async def test_a_claimed_job_is_started_and_its_entry_dropped(desk: Desk) -> None:
    """In that order: the queue is a superset of what waits."""
    entry = desk.entry()
    desk.queue.waiting = [entry]
    await wait_until(lambda: desk.queue.dropped == [entry])
    assert [scribe.response_id for scribe in desk.started] == [entry.response_id]
    await desk.end()


async def test_what_is_claimed_at_once_is_dropped_at_once(desk: Desk) -> None:
    """In one command, a moment later: what the claims are for has left by then."""
    desk.queue.waiting = [desk.entry() for _ in range(CONCURRENCY)]
    await wait_until(lambda: len(desk.queue.dropped) == CONCURRENCY)
    assert desk.queue.drops == [CONCURRENCY]
    await desk.end()


async def test_what_is_needless_as_the_claiming_stops_is_dropped(desk: Desk) -> None:
    """`run` returns after that: the goodbye that follows would put it back into the queue."""
    entry = desk.entry()
    desk.queue.waiting = [entry]
    await wait_until(lambda: bool(desk.started))
    desk.claimer.stop()
    async with asyncio.timeout(15):
        await desk.running
    assert desk.queue.dropped == [entry]
    await desk.end()


async def test_no_more_is_read_than_there_is_room_for(desk: Desk) -> None:
    """And the next as soon as a run has ended."""
    desk.queue.waiting = [desk.entry() for _ in range(CONCURRENCY + 2)]
    await wait_until(lambda: len(desk.started) == CONCURRENCY)
    assert max(desk.queue.reads) <= CONCURRENCY
    assert len(desk.queue.waiting) == 2
    desk.started[0].finish()
    await wait_until(lambda: len(desk.started) == CONCURRENCY + 1)
    assert len(desk.queue.waiting) == 1
    await desk.end()


async def test_a_deaf_worker_claims_nothing(desk: Desk) -> None:
    """A stream that cannot be stopped does not run."""
    desk.hears = False
    for _ in range(10):
        await asyncio.sleep(0)  # a read that was under way comes back empty
    reads = len(desk.queue.reads)
    desk.queue.waiting = [desk.entry()]
    for _ in range(20):
        desk.roster.changed.set()  # each time it looks whether there is room, and whether it hears
        await asyncio.sleep(0)
    assert len(desk.queue.reads) == reads
    assert desk.started == []
    desk.hears = True
    await wait_until(lambda: len(desk.started) == 1)
    await desk.end()


@pytest.mark.parametrize("refused", [Refused.ENDED, Refused.STOPPED, Refused.EXPIRED, Refused.WAITING])
async def test_the_entry_of_a_job_that_is_not_to_be_had_is_dropped(desk: Desk, refused: Refused) -> None:
    """It needs nobody, or gets another entry when its turn comes: and it leaves no trace in this worker's job set."""
    entry = desk.entry(refused)
    desk.queue.waiting = [entry]
    await wait_until(lambda: desk.queue.dropped == [entry])
    assert desk.started == []
    assert desk.store.forgotten == [entry.response_id]
    await desk.end()


@pytest.mark.parametrize("refused", [Refused.GONE, Refused.TAKEN])
async def test_an_entry_that_precedes_its_job_is_tried_again(desk: Desk, refused: Refused) -> None:
    """The queue is written first; a moment later the job is there, or its owner has given it back."""
    job = claimed()
    entry = desk.entry(job)
    desk.store.claims[job.response_id] = [refused, refused, job]
    desk.queue.waiting = [entry]
    await wait_until(lambda: desk.queue.dropped == [entry])
    assert [scribe.job for scribe in desk.started] == [job]
    await desk.end()


@pytest.mark.parametrize("refused", [Refused.GONE, Refused.TAKEN])
async def test_an_entry_whose_job_never_came_is_dropped_after_the_grace(desk: Desk, refused: Refused) -> None:
    """Its writer died between the two writes: what it wrote is nobody's job, or is its owner's still."""
    entry = desk.entry(refused, age_s=11)
    desk.queue.waiting = [entry]
    await wait_until(lambda: desk.queue.dropped == [entry])
    await desk.end()


async def test_a_claim_that_was_not_answered_is_repeated_until_it_is(desk: Desk) -> None:
    """In a cluster the queue may be there while the job's server is away: nobody waits for the time of adoption."""
    desk.store.is_away = True
    entry = desk.entry()
    desk.queue.waiting = [entry]
    await wait_until(lambda: bool(desk.tasks.started))
    assert (desk.started, desk.queue.dropped) == ([], [])
    desk.store.is_away = False
    await wait_until(lambda: desk.queue.dropped == [entry])
    assert [scribe.response_id for scribe in desk.started] == [entry.response_id]
    await desk.end()


async def test_a_claim_that_was_not_answered_before_the_drain_leaves_its_entry(desk: Desk) -> None:
    """Claimed or not: whoever adopts the entry finds out."""
    desk.store.is_away = True
    desk.queue.is_away = True
    desk.queue.waiting = [desk.entry()]
    await wait_until(lambda: bool(desk.tasks.started))
    await desk.end()
    assert (desk.started, desk.queue.dropped, desk.queue.returned) == ([], [], [])


async def test_a_second_entry_of_a_job_that_runs_here_starts_nothing(desk: Desk) -> None:
    """A sweep may have queued it twice."""
    job = claimed()
    first, second = desk.entry(job), desk.entry(job)
    desk.queue.waiting = [first]
    await wait_until(lambda: desk.queue.dropped == [first])
    desk.queue.waiting = [second]
    await wait_until(lambda: desk.queue.dropped == [first, second])
    assert len(desk.started) == 1
    await desk.end()


async def test_a_draining_worker_puts_back_what_it_read_and_did_not_claim(desk: Desk) -> None:
    """Another has it at once, not after the time of adoption; `run` returns when all is decided."""
    entry = desk.entry()
    desk.claimer.stop()
    desk.claimer.take([entry])
    async with asyncio.timeout(5):
        await desk.running
    assert desk.queue.returned == [entry.response_id]
    assert desk.queue.dropped == [entry]
    assert desk.started == []
    await desk.end()


async def test_an_outage_ends_no_claimer(desk: Desk) -> None:
    """It reads again."""
    desk.queue.failures = 3
    desk.queue.waiting = [desk.entry()]
    await wait_until(lambda: len(desk.started) == 1)
    await desk.end()


async def test_what_a_dead_reader_held_is_adopted(desk: Desk) -> None:
    """Where there is room for it."""
    adopting = asyncio.ensure_future(desk.claimer.adopt(every_s=0.002))
    entry = desk.entry()
    desk.queue.left_by_others = [entry]
    await wait_until(lambda: desk.queue.dropped == [entry])
    adopting.cancel()
    await asyncio.gather(adopting, return_exceptions=True)
    await desk.end()
