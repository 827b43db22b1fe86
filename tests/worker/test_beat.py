"""The beat: its rhythm, and a renewal that is asked for between two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from andon.errors import StoreUnavailable
from andon.ids import WorkerId
from andon.lease import About, Leases
from andon.progress import Progress
from tests.stack.waiting import wait_until
from tests.worker.fakes import WORKER, FakeRescuer, FakeStore, Tasks, store_away
from worker.beat import Beat
from worker.roster import Roster
from worker.switch import Switch

_NEVER_S = 10_000.0


class FakeLeases(Leases):
    """Counts renewals, and answers each when it may."""

    def __init__(self) -> None:
        self.sent = 0
        # How many of the next are not answered at all.
        self.failures = 0
        # How many more are answered; None: all, at once.
        self.answers: asyncio.Semaphore | None = None

    async def renew(self, worker_id: WorkerId, about: About) -> bool:
        """Renew."""
        del about
        assert worker_id == WORKER
        self.sent += 1
        if self.failures:
            self.failures -= 1
            raise store_away()
        if self.answers is not None:
            await self.answers.acquire()
        return True


def beat_over(leases: Leases, *, lease_s: float = _NEVER_S) -> Beat:
    """Make a beat of a worker that runs nothing."""
    store = FakeStore()
    return Beat(
        WORKER,
        leases=leases,
        progress=Progress(store.database),
        lease_s=lease_s,
        roster=Roster(store, rescuer=FakeRescuer(), on_settled=lambda _: None, spawn=Tasks().spawn),
        switch=Switch(_NEVER_S, on_fire=lambda: None),
        concurrency=1,
        is_draining=lambda: False,
        left_behind=lambda: 0,
    )


@asynccontextmanager
async def beating(beat: Beat) -> AsyncIterator[None]:
    """Renew once, as a life does before it claims, and beat for the length of a block."""
    assert await beat.renew()
    running = asyncio.ensure_future(beat.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_lease_is_renewed_again_and_again() -> None:
    """By the beat alone."""
    leases = FakeLeases()
    async with beating(beat_over(leases, lease_s=0.02)):
        await wait_until(lambda: leases.sent >= 3)


async def test_a_renewal_that_was_asked_for_does_not_wait_for_the_beat() -> None:
    """The next one is hours away; until it has succeeded the lease does not stand."""
    leases = FakeLeases()
    beat = beat_over(leases)
    assert not _stands(beat)
    async with beating(beat):
        assert _stands(beat)
        leases.answers = asyncio.Semaphore(0)
        beat.renew_soon()
        assert not _stands(beat)
        await wait_until(lambda: leases.sent == 2)
        assert not _stands(beat)
        leases.answers.release()
        await wait_until(lambda: _stands(beat))
        assert leases.sent == 2


async def test_what_asked_before_the_first_renewal_is_served_by_that() -> None:
    """The first confirmation of the stop channel comes before it: no second one follows at its heels."""
    leases = FakeLeases()
    beat = beat_over(leases)
    beat.renew_soon()
    async with beating(beat):
        assert _stands(beat)
        await _turns()
        assert leases.sent == 1


async def test_many_asks_are_no_storm() -> None:
    """One renewal is under way at a time; all that ask meanwhile are served by one more, and the lease waits for it."""
    leases = FakeLeases()
    beat = beat_over(leases)
    async with beating(beat):
        leases.answers = asyncio.Semaphore(0)
        beat.renew_soon()
        await wait_until(lambda: leases.sent == 2)
        for _ in range(100):
            beat.renew_soon()
            await asyncio.sleep(0)
        assert leases.sent == 2
        leases.answers.release()
        await wait_until(lambda: leases.sent == 3)
        assert not _stands(beat)  # what was answered was sent before the last ask
        leases.answers.release()
        await wait_until(lambda: _stands(beat))
        await _turns()
        assert leases.sent == 3


async def test_one_that_was_asked_for_and_failed_is_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is claimed until it succeeds: that must not take a beat."""
    monkeypatch.setattr("worker.beat._AGAIN_S", 0.002)
    leases = FakeLeases()
    beat = beat_over(leases)
    async with beating(beat):
        leases.failures = 3
        beat.renew_soon()
        await wait_until(lambda: _stands(beat))
        assert leases.sent == 5


async def test_a_beat_that_is_missed_takes_nothing_back() -> None:
    """Redis is away and nobody says that it came back empty: what was renewed stands as long as its lease."""
    leases = FakeLeases()
    beat = beat_over(leases)
    assert await beat.renew()
    leases.failures = 1
    with pytest.raises(StoreUnavailable):
        await beat.renew()
    assert _stands(beat)


def _stands(beat: Beat) -> bool:
    """Ask anew: a type checker takes the last answer for the next one."""
    return beat.stands


async def _turns() -> None:
    """Give everything that could run the time to."""
    for _ in range(50):
        await asyncio.sleep(0)
