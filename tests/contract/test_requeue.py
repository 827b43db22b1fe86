import pytest

from andon import keys
from andon.replies import Written
from andon.store import Store
from tests.contract.jobs import (
    OTHER_WORKER,
    WORKER,
    claim,
    deltas,
    log_of,
    running,
    settle,
    settlements,
    snapshot,
    types_of,
)
from tests.contract.strangers import fenced_variants


async def test_a_requeued_job_is_claimed_by_another_under_the_next_generation(store: Store) -> None:
    """Nothing was output, so it starts anew: one in-progress event only, one queue entry more."""
    job = await running(store)
    assert (await store.requeue(job)).tag is Written.QUEUED
    again = await claim(store, job.response_id, OTHER_WORKER)
    assert (again.generation, again.next_number, again.earlier_claims) == (2, 2, 1)
    assert await types_of(store, job.response_id) == ["response.created", "response.in_progress"]
    assert await store.database.call("XLEN", keys.QUEUE) == 2


async def test_a_repeated_requeue_answers_queued(store: Store) -> None:
    """A caller whose reply was lost may repeat; only the hint, a queue entry, is doubled."""
    job = await running(store)
    await store.requeue(job)
    before = await snapshot(store.database)
    assert (await store.requeue(job)).tag is Written.QUEUED
    after = await snapshot(store.database)
    del before[keys.QUEUE], after[keys.QUEUE]
    assert after == before


async def test_a_job_with_output_is_not_requeued(store: Store) -> None:
    """The client saw output that a second run would contradict."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "a"), renew=False)
    outcome = await store.requeue(job)
    assert (outcome.tag, outcome.length) == (Written.HAS_OUTPUT, 3)


async def test_a_marked_job_is_settled_and_not_requeued(store: Store) -> None:
    """A stop addresses the job, not one generation: it is not lost across a requeue."""
    job = await running(store)
    await store.stop(job.response_id, None, by="client", reason=None)
    assert (await store.requeue(job)).tag is Written.STOPPED
    events = await log_of(store, job.response_id)
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.incomplete"]
    assert len(await settlements(store, job.response_id)) == 1
    assert (await store.requeue(job)).tag is Written.ENDED


async def test_a_job_that_was_claimed_too_often_is_spent(store: Store) -> None:
    """A request that kills its workers does not go round for ever."""
    job = await running(store)
    for _ in range(store.settings.max_attempts - 1):
        assert (await store.requeue(job)).tag is Written.QUEUED
        job = await claim(store, job.response_id)
    assert (await store.requeue(job)).tag is Written.SPENT
    view = await store.job(job.response_id)
    assert view is not None
    assert view.state == "running"


async def test_an_ended_job_is_not_requeued(store: Store) -> None:
    """An ending is final."""
    job = await running(store)
    await settle(store, job, 2)
    assert (await store.requeue(job)).tag is Written.ENDED


@pytest.mark.parametrize("variant", ["worker", "generation"])
async def test_only_the_present_claim_is_requeued(store: Store, variant: str) -> None:
    """A late rescuer does not take a job from the worker that has it now."""
    job = await running(store)
    assert (await store.requeue(fenced_variants(job)[variant])).tag is Written.FENCED
    view = await store.job(job.response_id)
    assert view is not None
    assert (view.state, view.owner) == ("running", WORKER)


async def test_a_lost_job_is_gone_and_not_recreated(store: Store) -> None:
    """Only the hint is there, and the next claim of it drops it."""
    job = await running(store)
    await store.database.call("FLUSHALL")
    assert (await store.requeue(job)).tag is Written.GONE
    assert await store.database.call("KEYS", "*") == [keys.QUEUE.encode()]


async def test_a_look_reads_the_mark_and_renews_the_keys(store: Store) -> None:
    """The beat's look is the third path of a stop, and keeps silent work alive."""
    job = await running(store)
    for name in (keys.job(job.response_id), keys.log(job.response_id)):
        await store.database.call("PEXPIRE", name, 50_000)
    assert (await store.look(job)).tag is Written.OK
    for name in (keys.job(job.response_id), keys.log(job.response_id)):
        assert await store.database.call("PTTL", name) > 3_600_000
    await store.stop(job.response_id, None, by="client", reason="r")
    outcome = await store.look(job)
    assert outcome.tag is Written.STOPPED
    assert outcome.stop is not None
    assert outcome.stop.reason == "r"


@pytest.mark.parametrize("variant", ["worker", "generation"])
async def test_a_look_by_another_is_fenced(store: Store, variant: str) -> None:
    """A worker that lost its job learns it at the next beat."""
    job = await running(store)
    assert (await store.look(fenced_variants(job)[variant])).tag is Written.FENCED
    await settle(store, job, 2)
    assert (await store.look(job)).tag is Written.FENCED
    await store.database.call("FLUSHALL")
    assert (await store.look(job)).tag is Written.GONE
    assert await store.database.call("DBSIZE") == 0


@pytest.mark.parametrize("variant", ["worker", "generation"])
async def test_an_ack_is_fenced_and_never_changes_a_time(store: Store, variant: str) -> None:
    """The first acknowledgement stays; what comes later only adds."""
    job = await running(store)
    await store.stop(job.response_id, None, by="client", reason=None)
    assert (await store.ack(fenced_variants(job)[variant], acked_at=9.0, upstream_closed_at=9.0)).tag is Written.FENCED
    assert (await store.ack(job, acked_at=1.0, upstream_closed_at=None)).tag is Written.OK
    assert (await store.ack(job, acked_at=2.0, upstream_closed_at=3.0)).tag is Written.OK
    progress = await store.progress(job.response_id)
    assert (progress.acked, progress.upstream_closed) == (1.0, 3.0)
    await store.database.call("FLUSHALL")
    assert (await store.ack(job, acked_at=1.0, upstream_closed_at=None)).tag is Written.GONE
    assert await store.database.call("DBSIZE") == 0
