import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from andon.ids import ResponseId
from andon.store import ABANDONED
from andon.trail import Trail
from tests.stack.waiting import wait_until
from tests.worker.fakes import FakeRescuer, FakeScribe, FakeStore, Tasks, claimed
from worker.presence import Presence
from worker.roster import Roster

ABANDON_S = 0.08


class Desk:
    """A presence that looks all the time, and what it looks at."""

    def __init__(self) -> None:
        self.store, self.tasks = FakeStore(), Tasks()
        self.roster = Roster(self.store, rescuer=FakeRescuer(), on_settled=lambda _: None, spawn=self.tasks.spawn)
        self.presence = Presence(self.store, self.roster, Trail(self.store, process="w_test"))

    @property
    def missing(self) -> Collection[ResponseId]:
        """Return which it has missed: known to it alone until it stops them."""
        return self.presence._missing_since.keys()  # noqa: SLF001  see above

    def start(self, abandon_s: float = ABANDON_S) -> FakeScribe:
        """Start a run."""
        scribe = FakeScribe(claimed(abandon_s=abandon_s))
        self.roster.start(scribe)
        return scribe


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr("worker.presence._LOOK_EVERY_S", 0.005)
    desk = Desk()
    looking = asyncio.ensure_future(desk.presence.run())
    yield desk
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    for scribe in desk.roster:
        assert isinstance(scribe, FakeScribe)
        scribe.finish()
    await desk.tasks.done()


async def test_a_run_that_nobody_watches_is_stopped_after_half_of_its_time(desk: Desk) -> None:
    """The other half was the presence's; the stop goes the way of every stop, with its reason."""
    began = asyncio.get_running_loop().time()
    scribe = desk.start()
    await wait_until(lambda: bool(desk.store.stopped))
    assert desk.store.stopped[0] == (scribe.response_id, "andon", ABANDONED)
    assert asyncio.get_running_loop().time() - began >= ABANDON_S / 2


async def test_one_that_is_watched_or_never_abandoned_is_left_alone(desk: Desk) -> None:
    """The clock of one run says nothing about another's."""
    watched, never, left = desk.start(), desk.start(abandon_s=0), desk.start(abandon_s=2 * ABANDON_S)
    desk.store.present_ids = {watched.response_id}
    await wait_until(lambda: bool(desk.store.stopped))
    assert {rid for rid, _, _ in desk.store.stopped} == {left.response_id}
    assert never.stops == []


async def test_somebody_who_comes_back_in_time_keeps_it(desk: Desk) -> None:
    """Then the time runs anew when he leaves again."""
    scribe = desk.start(abandon_s=100 * ABANDON_S)
    await wait_until(lambda: scribe.response_id in desk.missing)
    desk.store.present_ids = {scribe.response_id}
    scribe.looked_for_presence_at = 0
    await wait_until(lambda: scribe.response_id not in desk.missing)


async def test_after_an_outage_the_clock_starts_anew(desk: Desk) -> None:
    """Presences could not be renewed in it."""
    scribe = desk.start(abandon_s=100 * ABANDON_S)
    await wait_until(lambda: scribe.response_id in desk.missing)
    desk.store.is_away = True
    scribe.looked_for_presence_at = 0
    await wait_until(lambda: not desk.missing)
    desk.store.is_away = False
    assert desk.store.stopped == []
