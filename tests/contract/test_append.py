import pytest

from andon import keys
from andon.database import Database
from andon.frames import parse_batch
from andon.replies import Outcome, Written
from andon.settings import Settings
from andon.store import Store
from andon.subscriber import Subscriber
from tests.contract.jobs import (
    OTHER_WORKER,
    deltas,
    log_of,
    running,
    settle,
    snapshot,
    submission,
    types_of,
)
from tests.contract.sdk import assert_sdk_reads
from tests.contract.strangers import fenced_variants
from tests.stack.waiting import wait_until


async def test_appended_frames_are_the_log(store: Store) -> None:
    """The log holds the very bytes that were appended, at the index of their sequence number."""
    job = await running(store)
    frames = deltas(job, 2, "a", "b")
    assert await store.append(job, 2, frames, renew=False) == Outcome(Written.OK, length=4)
    assert await store.log_slice(job.response_id, 2, -1) == frames
    for frame in frames:
        assert_sdk_reads(frame)


async def test_a_batch_of_thousands_enters_whole(store: Store) -> None:
    """Lua's unpack has a limit of some thousands; a batch may be larger."""
    job = await running(store)
    frames = deltas(job, 2, *("x" for _ in range(9000)))
    assert await store.append(job, 2, frames, renew=False) == Outcome(Written.OK, length=9002)
    assert len(await log_of(store, job.response_id)) == 9002


async def test_a_repeated_batch_is_a_duplicate_and_changes_nothing(store: Store) -> None:
    """A worker whose reply was lost sends the batch again and learns that it is in the log."""
    job = await running(store)
    frames = deltas(job, 2, "a", "b")
    await store.append(job, 2, frames, renew=False)
    before = await snapshot(store.database)
    assert await store.append(job, 2, frames, renew=False) == Outcome(Written.DUPLICATE, length=4)
    assert await store.append(job, 3, frames[1:], renew=False) == Outcome(Written.DUPLICATE, length=4)
    assert await snapshot(store.database) == before


async def test_a_batch_that_leaves_a_gap_is_refused(store: Store) -> None:
    """A sequence number is an index: nothing is written out of order, nor half over what is there."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "a"), renew=False)
    assert await store.append(job, 4, deltas(job, 4, "c"), renew=False) == Outcome(Written.GAP, length=3)
    assert await store.append(job, 2, deltas(job, 2, "a", "b"), renew=False) == Outcome(Written.GAP, length=3)
    assert len(await log_of(store, job.response_id)) == 3


async def test_nothing_enters_the_log_after_a_mark(store: Store) -> None:
    """The append's reply brings the stop: one token later the worker knows."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "a"), renew=False)
    await store.stop(job.response_id, None, by="client", reason="enough")
    outcome = await store.append(job, 3, deltas(job, 3, "b"), renew=False)
    assert (outcome.tag, outcome.length) == (Written.STOPPED, 3)
    assert outcome.stop is not None
    assert (outcome.stop.by, outcome.stop.reason) == ("client", "enough")
    # A repeat of a batch that entered before the mark learns by the length that it did.
    assert (await store.append(job, 2, deltas(job, 2, "a"), renew=False)).length == 3
    assert len(await log_of(store, job.response_id)) == 3


@pytest.mark.parametrize("variant", ["worker", "generation"])
async def test_only_the_present_owner_appends(store: Store, variant: str) -> None:
    """A write by any other (worker id, generation) is fenced."""
    job = await running(store)
    before = await snapshot(store.database)
    assert await store.append(fenced_variants(job)[variant], 2, deltas(job, 2, "a"), renew=False) == Outcome(
        Written.FENCED
    )
    assert await snapshot(store.database) == before


async def test_an_ended_job_takes_no_append(store: Store) -> None:
    """After the ending nothing enters the log, not even from its owner."""
    job = await running(store)
    await settle(store, job, 2)
    assert await store.append(job, 3, deltas(job, 3, "a"), renew=False) == Outcome(Written.FENCED)
    assert await types_of(store, job.response_id) == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]


async def test_a_lost_job_is_gone_and_not_recreated(store: Store) -> None:
    """Where Redis itself lost the job, scripts say so and write nothing."""
    job = await running(store)
    await store.database.call("FLUSHALL")
    assert await store.append(job, 2, deltas(job, 2, "a"), renew=True) == Outcome(Written.GONE)
    assert await store.database.call("DBSIZE") == 0


async def test_an_append_renews_the_keys_when_asked(store: Store) -> None:
    """Live work never expires under a worker that writes."""
    job = await running(store)
    names = [keys.job(job.response_id), keys.log(job.response_id)]
    for name in names:
        await store.database.call("PEXPIRE", name, 50_000)
    await store.append(job, 2, deltas(job, 2, "a"), renew=False)
    assert max([await store.database.call("PTTL", name) for name in names]) <= 50_000
    await store.append(job, 3, deltas(job, 3, "b"), renew=True)
    assert min([await store.database.call("PTTL", name) for name in names]) > 3_600_000


async def test_another_claim_fences_the_first_worker_for_good(store: Store) -> None:
    """After a requeue and a claim elsewhere the old generation writes nothing, the new one does."""
    made = submission()
    await store.submit(made)
    old = await store.claim(made.response_id, OTHER_WORKER)
    assert not isinstance(old, str)
    await store.requeue(old)
    new = await store.claim(made.response_id, OTHER_WORKER)
    assert not isinstance(new, str)
    assert (old.generation, new.generation, new.earlier_claims) == (1, 2, 1)
    assert (await store.append(old, 2, deltas(old, 2, "old"), renew=False)).tag is Written.FENCED
    assert (await store.append(new, 2, deltas(new, 2, "new"), renew=False)).tag is Written.OK


async def test_a_batch_too_large_to_be_published_is_announced_by_its_header(database: Database) -> None:
    """The server cuts off subscribers whose output grows too large; what is not sent is in the log."""
    store = Store(database, Settings())
    job = await running(store)
    heard: list[bytes] = []
    subscriber = Subscriber(
        database.open_connection,
        sharded=True,
        timeout_s=2.0,
        ping_every_s=1.0,
        on_message=lambda _, message: heard.append(message),
        on_confirmed=lambda _: None,
    )
    async with subscriber.open():
        await subscriber.subscribe(keys.events(job.tag))
        await store.append(job, 2, deltas(job, 2, "x" * 600_000), renew=False)
        await store.append(job, 3, deltas(job, 3, "x" * 600_000, "y" * 600_000), renew=False)
        await wait_until(lambda: len(heard) == 2)
    small, large = map(parse_batch, heard)
    assert (small.first, len(small.frames)) == (2, 1)
    assert (large.first, large.frames) == (3, ())
    assert len(await store.log_slice(job.response_id, 0, -1)) == 5
