import asyncio

import pytest

from andon.hint import Hint
from andon.ids import SessionTag
from andon.replies import Outcome, Written
from andon.response import Stop
from tests.worker.fakes import FakeRescuer, FakeScribe, FakeStore, Tasks, claimed
from worker.roster import Roster
from worker.verdict import Loss

STOP = Stop(by="me", reason=None, requested_at=1.5)


class Desk:
    """A roster and all that it holds."""

    def __init__(self) -> None:
        self.store, self.rescuer, self.tasks = FakeStore(), FakeRescuer(), Tasks()
        self.settled: list[SessionTag] = []
        self.roster = Roster(self.store, rescuer=self.rescuer, on_settled=self.settled.append, spawn=self.tasks.spawn)

    def start(self, generation: int = 1) -> FakeScribe:
        """Start a run."""
        scribe = FakeScribe(claimed(generation=generation))
        self.roster.start(scribe)
        return scribe

    def hint(self, scribe: FakeScribe, generation: int) -> None:
        """Let it hear a published stop."""
        self.roster.hint(Hint(scribe.response_id, generation, STOP))


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_a_stop_reaches_its_run_at_once_and_no_other(desk: Desk) -> None:
    """Within the reader of the channel: nothing is waited for."""
    mine, other = desk.start(), desk.start()
    desk.hint(mine, 1)
    assert (mine.stops, other.stops) == ([STOP], [])
    assert desk.store.looked == []
    for scribe in (mine, other):
        scribe.finish()
    await desk.tasks.done()


async def test_a_hint_of_another_generation_is_checked_against_the_mark(desk: Desk) -> None:
    """It may be an old one, or the job may be another's by now: the job hash decides."""
    scribe = desk.start(generation=2)
    desk.hint(scribe, 1)
    assert scribe.stops == []
    desk.store.outcome = Outcome(Written.STOPPED, stop=STOP)
    scribe.finish()
    await desk.tasks.done()
    assert desk.store.looked == [scribe.response_id]
    assert scribe.stops == [STOP]


async def test_a_hint_for_a_run_that_is_not_here_changes_nothing(desk: Desk) -> None:
    """It ended meanwhile."""
    scribe = desk.start()
    scribe.finish()
    await desk.tasks.done()
    desk.hint(scribe, 1)
    assert (scribe.stops, desk.store.looked) == ([], [])


@pytest.mark.parametrize(
    ("tag", "loss"), [(Written.GONE, Loss.GONE), (Written.FENCED, Loss.FENCED), (Written.OK, None)]
)
async def test_a_look_tells_what_became_of_the_job(desk: Desk, tag: Written, loss: Loss | None) -> None:
    """Gone or fenced is abandoned; otherwise the run has been heard of, and goes on."""
    scribe = desk.start()
    desk.store.outcome = Outcome(tag)
    desk.roster.look_at([scribe])
    scribe.finish()
    await desk.tasks.done()
    assert scribe.losses == ([loss] if loss else [])
    assert scribe.heard_at > 0


async def test_a_look_that_fails_changes_nothing(desk: Desk) -> None:
    """The next beat looks again."""
    scribe = desk.start()
    desk.store.is_away = True
    desk.roster.look_at([scribe])
    await desk.tasks.started[-1]
    assert (scribe.stops, scribe.losses, scribe.heard_at) == ([], [], 0.0)
    scribe.finish()
    await desk.tasks.done()


async def test_an_ended_run_leaves_and_its_settlement_is_shipped(desk: Desk) -> None:
    """The claimer hears that there is room."""
    scribe = desk.start()
    assert (len(desk.roster), scribe.response_id in desk.roster, list(desk.roster)) == (1, True, [scribe])
    desk.roster.changed.clear()
    scribe.finish()
    await desk.tasks.done()
    assert (len(desk.roster), scribe.response_id in desk.roster) == (0, False)
    assert desk.roster.changed.is_set()
    assert desk.settled == [scribe.job.tag]
    assert desk.store.forgotten == [scribe.response_id]


async def test_a_crashed_run_is_rescued_and_its_siblings_go_on(desk: Desk) -> None:
    """Its owner lives, so nobody else would end the job."""
    crashed, sibling = desk.start(), desk.start()
    crashed.finish(ValueError("our bug"))
    await desk.tasks.started[0]
    assert desk.rescuer.rescued == [crashed.response_id]
    assert list(desk.roster) == [sibling]
    sibling.finish()
    await desk.tasks.done()


async def test_hints_left_behind_in_an_outage_end_no_other_run(desk: Desk) -> None:
    """The sweep compares them with the job hash."""
    scribe = desk.start()
    desk.store.is_away = True
    scribe.finish()
    await desk.tasks.done()
    assert len(desk.roster) == 0


async def test_all_runs_are_abandoned_or_drained_together_and_emptiness_is_waited_for(desk: Desk) -> None:
    """What a life does at its end."""
    scribes = [desk.start() for _ in range(3)]
    desk.roster.drain_all()
    desk.roster.abandon_all(Loss.LEASE)
    assert [(scribe.drains, scribe.losses) for scribe in scribes] == [(1, [Loss.LEASE])] * 3
    waiting = asyncio.ensure_future(desk.roster.empty())
    for scribe in scribes:
        assert not waiting.done()
        scribe.finish()
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await waiting
    await desk.tasks.done()
