from typing import Any

import msgspec
import pytest

from andon import keys
from andon.ids import ResponseId, tag_of
from andon.replies import Refused
from andon.store import Store
from tests.contract.jobs import (
    OTHER_WORKER,
    WORKER,
    claim,
    log_of,
    running,
    settle,
    settlements,
    snapshot,
    submission,
    submitted,
    types_of,
)
from tests.contract.sdk import assert_sdk_reads


async def test_the_first_claim_logs_in_progress_under_generation_one(store: Store) -> None:
    """The claimer gets all it needs to run the job, and the right to write it."""
    made = submission()
    await store.submit(made)
    claimed = await claim(store, made.response_id)
    assert (claimed.worker_id, claimed.generation, claimed.next_number, claimed.earlier_claims) == (WORKER, 1, 2, 0)
    assert (claimed.request, claimed.envelope, claimed.base, claimed.record) == (
        made.request,
        made.envelope,
        made.base,
        made.record,
    )
    assert await types_of(store, made.response_id) == ["response.created", "response.in_progress"]


async def test_a_repeated_claim_of_the_owner_answers_the_same(store: Store) -> None:
    """A caller whose reply was lost may repeat: same generation, no second event."""
    rid = await submitted(store)
    first = await claim(store, rid)
    before = await snapshot(store.database)
    assert await store.claim(rid, WORKER) == first
    assert await snapshot(store.database) == before


async def test_a_claimed_job_is_taken_for_others(store: Store) -> None:
    """Two workers never own one job."""
    job = await running(store)
    assert await store.claim(job.response_id, OTHER_WORKER) is Refused.TAKEN


async def test_a_missing_job_is_gone_and_not_recreated(store: Store) -> None:
    """The queue is written first: an entry may name a job that is not there."""
    rid = submission().response_id
    assert await store.claim(rid, WORKER) is Refused.GONE
    assert await store.job(rid) is None


async def test_a_waiting_job_is_not_claimed(store: Store) -> None:
    """Responses of one lane run one after another."""
    await submitted(store, lane="k/a")
    assert await store.claim(await submitted(store, lane="k/a"), WORKER) is Refused.WAITING


async def test_a_waiting_job_whose_turn_comes_after_its_deadline_fails(store: Store) -> None:
    """Its created event comes first, as every response's does."""
    await submitted(store, lane="k/a")
    late = msgspec.structs.replace(submission(lane="k/a"), deadline_s=1e-6)
    await store.submit(late)
    await store.database.call("DEL", keys.lanes(tag_of(late.response_id)))
    assert await store.claim(late.response_id, WORKER) is Refused.EXPIRED
    assert await types_of(store, late.response_id) == ["response.created", "response.failed"]


async def test_an_ended_job_is_not_claimed(store: Store) -> None:
    """A second queue entry of a finished job starts nothing."""
    job = await running(store)
    await settle(store, job, 2)
    assert await store.claim(job.response_id, WORKER) is Refused.ENDED
    assert await store.claim(job.response_id, OTHER_WORKER) is Refused.ENDED


async def mark_by_hand(store: Store, rid: ResponseId, at: str = "1700000000.000000") -> None:
    """Put a mark on a queued job as a stop that raced a requeue would leave it."""
    stop = f'{{"by":"client","reason":null,"requested_at":{at},"upstream_closed_at":null}}'
    await store.database.call("HSET", keys.job(rid), "stop_at", at, "stop_json", stop)


async def test_a_marked_job_is_refused_and_settled_as_cancelled(store: Store) -> None:
    """A stop before the claim takes effect at the claim at the latest; no request was made, so it cost nothing."""
    rid = await submitted(store)
    await mark_by_hand(store, rid)
    assert await store.claim(rid, WORKER) is Refused.STOPPED
    assert await types_of(store, rid) == ["response.created", "response.incomplete"]
    terminal: dict[str, Any] = (await log_of(store, rid))[-1]
    assert terminal["response"]["status"] == "cancelled"
    assert terminal["response"]["usage"]["total_tokens"] == 0
    assert terminal["response"]["usage"]["source"] == "upstream"
    assert_sdk_reads(terminal)
    assert len(await settlements(store, rid)) == 1
    assert await store.claim(rid, WORKER) is Refused.ENDED


async def test_a_job_that_waited_too_long_fails_once_with_queue_timeout(store: Store) -> None:
    """After the queue's time to live the client gets one `response.failed` that names the cause."""
    rid = await submitted(store)
    await store.database.call("HSET", keys.job(rid), "queued_at", "1700000000.000000")
    assert await store.claim(rid, WORKER) is Refused.EXPIRED
    terminal = (await log_of(store, rid))[-1]
    assert terminal["type"] == "response.failed"
    assert terminal["response"]["error"]["type"] == "queue_timeout"
    assert_sdk_reads(terminal)
    (record,) = await settlements(store, rid)
    assert (record["status"], record["stop"]) == ("failed", None)
    assert await store.claim(rid, OTHER_WORKER) is Refused.ENDED


@pytest.mark.parametrize("refusal", ["stopped", "expired"])
async def test_a_refused_holder_gives_its_lane_to_the_next(store: Store, refusal: str) -> None:
    """The one whose turn it is gets its turn within the same call."""
    first = await submitted(store, lane="k/a")
    second = await submitted(store, lane="k/a")
    if refusal == "stopped":
        await mark_by_hand(store, first)
    else:
        await store.database.call("HSET", keys.job(first), "queued_at", "1700000000.000000")
    assert await store.claim(first, WORKER) is Refused(refusal)
    assert await types_of(store, second) == ["response.created"]
    assert (await claim(store, second)).generation == 1


async def test_the_workers_job_set_names_what_it_claimed(store: Store) -> None:
    """The set is written before the claim, so a rescuer finds every job of a dead worker in it."""
    job = await running(store)
    assert await store.database.call("SMEMBERS", keys.worker_jobs(WORKER)) == [job.response_id.encode()]
    await store.forget(WORKER, job.response_id)
    assert await store.database.call("EXISTS", keys.worker_jobs(WORKER)) == 0
