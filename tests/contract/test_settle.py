import asyncio

import pytest

from andon import keys
from andon.replies import Written
from andon.response import Status, Stop
from andon.store import Store
from tests.contract.jobs import (
    USAGE,
    deltas,
    log_of,
    running,
    settle,
    settlements,
    snapshot,
    submitted,
    types_of,
)
from tests.contract.sdk import assert_sdk_reads
from tests.contract.strangers import fenced_variants

STOP = Stop("client", None, 1.0)


async def test_a_settled_job_has_one_ending_one_record_and_its_log(store: Store) -> None:
    """Last frames, terminal event, settlement, live set: all in one script."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "a"), renew=False)
    assert (await settle(store, job, 3, "b")).tag is Written.SETTLED
    assert await types_of(store, job.response_id) == [
        "response.created",
        "response.in_progress",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]
    for event in await log_of(store, job.response_id):
        assert_sdk_reads(event)
    (record,) = await settlements(store, job.response_id)
    assert (record["status"], record["session"], record["usage"]) == ("completed", "s", USAGE.to_wire())
    view = await store.job(job.response_id)
    assert view is not None
    assert (view.state, view.status, view.last, view.request) == ("ended", Status.COMPLETED, 4, None)
    assert record["settled_at"] == view.settled_at
    assert await store.live(job.tag) == []
    log_ttl_ms = await store.database.call("PTTL", keys.log(job.response_id))
    assert 0 < log_ttl_ms <= store.settings.log_ttl_s * 1000


async def test_a_repeated_settle_answers_already(store: Store) -> None:
    """Exactly one ending, one record, however often the worker asks."""
    job = await running(store)
    await settle(store, job, 2, "a")
    before = await snapshot(store.database)
    assert (await settle(store, job, 2, "a")).tag is Written.ALREADY
    assert (await settle(store, job, 4, status=Status.FAILED)).tag is Written.ALREADY
    assert await snapshot(store.database) == before


async def test_a_mark_that_came_first_forbids_any_other_ending(store: Store) -> None:
    """Mark present: only `cancelled` is taken, even if the upstream had finished."""
    job = await running(store)
    await store.stop(job.response_id, None, by="client", reason="now")
    before = await snapshot(store.database)
    outcome = await settle(store, job, 2, "a")
    assert (outcome.tag, outcome.length) == (Written.STOPPED, 2)
    assert outcome.stop is not None
    assert outcome.stop.reason == "now"
    assert await snapshot(store.database) == before
    assert (await settle(store, job, 2, status=Status.CANCELLED, stop=outcome.stop)).tag is Written.SETTLED
    assert await types_of(store, job.response_id) == [
        "response.created",
        "response.in_progress",
        "response.incomplete",
    ]


async def test_a_settle_that_races_a_mark_has_one_winner(store: Store) -> None:
    """Whichever script runs first decides; the loser's answer says so, and there is one ending either way."""
    for number in range(20):
        job = await running(store, session=f"s{number}")
        racers = [settle(store, job, 2, "a"), store.stop(job.response_id, None, by="client", reason=None)]
        if number % 2:
            racers.reverse()
        await asyncio.gather(*racers)
        view = await store.job(job.response_id)
        assert view is not None
        if view.state == "running":
            assert view.stop is not None
            await settle(store, job, 2, status=Status.CANCELLED, stop=view.stop)
        events = await log_of(store, job.response_id)
        assert sum("response.c" in e["type"] or e["type"] == "response.incomplete" for e in events) == 2
        assert len(await settlements(store, job.response_id)) == 1


@pytest.mark.parametrize("first", [1, 3, 9])
async def test_an_ending_at_the_wrong_number_is_refused(store: Store, first: int) -> None:
    """The number proves that the settler saw all that was logged: a rescuer ends nothing it has not read."""
    job = await running(store)
    before = await snapshot(store.database)
    outcome = await settle(store, job, first)
    assert (outcome.tag, outcome.length) == (Written.GAP, 2)
    assert await snapshot(store.database) == before


@pytest.mark.parametrize("variant", ["worker", "generation"])
@pytest.mark.parametrize("ended", [False, True])
async def test_only_the_present_owner_settles(store: Store, variant: str, *, ended: bool) -> None:
    """Another worker or generation writes no ending, before the ending or after it."""
    job = await running(store)
    if ended:
        await settle(store, job, 2)
    before = await snapshot(store.database)
    assert (await settle(store, fenced_variants(job)[variant], 2)).tag is Written.FENCED
    assert await snapshot(store.database) == before


async def test_a_requeued_job_is_not_settled_by_its_old_owner(store: Store) -> None:
    """Queued work has no owner."""
    job = await running(store)
    await store.requeue(job)
    assert (await settle(store, job, 2)).tag is Written.FENCED


async def test_a_lost_job_is_gone_and_not_recreated(store: Store) -> None:
    """Where Redis lost the job, no ending is invented."""
    job = await running(store)
    await store.database.call("FLUSHALL")
    assert (await settle(store, job, 2, status=Status.CANCELLED, stop=STOP)).tag is Written.GONE
    assert await store.database.call("DBSIZE") == 0


async def test_the_ending_frees_the_lane_for_the_next(store: Store) -> None:
    """The next of the lane is queued, with its created event, before `settle` returns."""
    job = await running(store, lane="k/a")
    second, third = await submitted(store, lane="k/a"), await submitted(store, lane="k/a")
    outcome = await settle(store, job, 2)
    assert outcome.next_of_lane == second
    assert await types_of(store, second) == ["response.created"]
    assert await types_of(store, third) == []
