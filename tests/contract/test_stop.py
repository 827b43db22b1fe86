import asyncio

import pytest

from andon import keys
from andon.database import Database
from andon.hint import parse_hint
from andon.ids import ANONYMOUS, Principal, tag_of
from andon.replies import Refused, StopOutcome
from andon.response import Status, Stop
from andon.scopes import ADMIN, ADMIN_ALL
from andon.store import Store
from andon.subscriber import Subscriber
from tests.contract.jobs import (
    STRANGER,
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


async def test_a_stop_of_a_queued_job_settles_it_at_once(store: Store) -> None:
    """Nobody has it, so the stop script itself writes the ending: cancelled, with no usage."""
    rid = await submitted(store)
    receipt = await store.stop(rid, ANONYMOUS, by="client", reason="changed my mind")
    assert receipt.outcome is StopOutcome.RECORDED
    assert receipt.recorded is not None
    assert receipt.settled is not None
    assert receipt.recorded <= receipt.settled
    created, terminal = await log_of(store, rid)
    assert created["type"] == "response.created"
    assert terminal["type"] == "response.incomplete"
    assert terminal["response"]["status"] == "cancelled"
    assert terminal["response"]["incomplete_details"] is None
    assert terminal["response"]["stop"] == {
        "by": "client",
        "reason": "changed my mind",
        "requested_at": receipt.recorded,
        "upstream_closed_at": None,
    }
    assert_sdk_reads(terminal)
    (record,) = await settlements(store, rid)
    assert (record["response_id"], record["status"]) == (rid, "cancelled")
    assert record["usage"]["total_tokens"] == 0
    assert record["stop"] == terminal["response"]["stop"]
    job = await store.job(rid)
    assert job is not None
    assert (job.state, job.status, job.last, job.request) == ("ended", Status.CANCELLED, 1, None)
    assert await store.live(tag_of(rid)) == []
    assert await store.claim(rid, WORKER) is Refused.ENDED


async def test_a_stop_of_a_waiting_job_gives_it_both_its_events(store: Store) -> None:
    """Also a response that never had its turn begins with `created` and ends once; its lane goes on."""
    holder = await submitted(store, lane="k/a")
    waiting = await submitted(store, lane="k/a")
    last = await submitted(store, lane="k/a")
    receipt = await store.stop(waiting, ANONYMOUS, by="client", reason=None)
    assert receipt.settled is not None
    assert receipt.next_of_lane is None
    assert await types_of(store, waiting) == ["response.created", "response.incomplete"]
    assert await store.database.call("HGET", keys.lanes(tag_of(holder)), "k/a") == f"{holder} {last}".encode()


async def test_a_stop_of_a_running_job_marks_it(store: Store) -> None:
    """The mark is durable; the ending is the worker's."""
    job = await running(store)
    receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason="x")
    assert (receipt.outcome, receipt.acked, receipt.upstream_closed, receipt.settled) == (
        StopOutcome.RECORDED,
        None,
        None,
        None,
    )
    view = await store.job(job.response_id)
    assert view is not None
    assert view.state == "running"
    assert view.stop is not None
    assert view.stop.requested_at == receipt.recorded
    assert await types_of(store, job.response_id) == ["response.created", "response.in_progress"]


async def test_a_repeated_stop_asserts_the_first_one(store: Store) -> None:
    """The first stop's words and time stay, however often it is repeated and by whomever."""
    job = await running(store)
    first = await store.stop(job.response_id, ANONYMOUS, by="client", reason="first")
    before = await snapshot(store.database)
    again = await store.stop(job.response_id, None, by="operator", reason="second")
    assert again.recorded == first.recorded
    assert await snapshot(store.database) == before


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
async def test_a_strangers_stop_finds_nothing_and_changes_nothing(store: Store, state: str) -> None:
    """To others the response does not exist."""
    rid = await submitted(store)
    if state != "queued":
        job = await claim(store, rid)
        if state == "ended":
            await settle(store, job, 2)
    before = await snapshot(store.database)
    assert (await store.stop(rid, STRANGER, by="client", reason=None)).outcome is StopOutcome.UNKNOWN
    assert await snapshot(store.database) == before


@pytest.mark.parametrize(
    ("principal", "reaches"),
    [
        (ANONYMOUS, True),
        (Principal(ANONYMOUS.tenant, "another"), False),
        (Principal("elsewhere", ANONYMOUS.subject), False),
        (Principal(ANONYMOUS.tenant, "operator", frozenset({ADMIN})), True),
        (Principal("elsewhere", "operator", frozenset({ADMIN})), False),
        (Principal("elsewhere", "operator", frozenset({ADMIN_ALL})), True),
        (Principal("elsewhere", "user", frozenset({"andon:administrator", "admin"})), False),
    ],
    ids=["owner", "same_tenant", "same_subject", "operator", "other_operator", "operator_of_all", "other_scopes"],
)
async def test_a_stop_reaches_as_far_as_its_scope(store: Store, principal: Principal, reaches: bool) -> None:
    """The owner's own, an operator's tenant, everybody's; the mark names who asked."""
    rid = await submitted(store)
    receipt = await store.stop(rid, principal, by=principal.subject, reason=None)
    assert receipt.outcome is (StopOutcome.RECORDED if reaches else StopOutcome.UNKNOWN)
    job = await store.job(rid)
    assert job is not None
    assert (job.stop.by if job.stop else None) == (principal.subject if reaches else None)
    assert job.is_open_to(principal) is reaches


async def test_a_stop_of_an_unknown_id_changes_nothing(store: Store) -> None:
    """Scripts never create a job."""
    rid = submission().response_id
    assert (await store.stop(rid, ANONYMOUS, by="client", reason=None)).outcome is StopOutcome.UNKNOWN
    assert await store.database.call("DBSIZE") == 0


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
async def test_a_stop_after_the_ending_says_how_it_ended(store: Store, status: Status) -> None:
    """Mark absent: the ending stands, and a later stop answers `already_ended`."""
    job = await running(store)
    await settle(store, job, 2, status=status)
    before = await snapshot(store.database)
    receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    assert (receipt.outcome, receipt.status) == (StopOutcome.ALREADY_ENDED, status)
    assert await snapshot(store.database) == before


async def test_a_stop_between_requeue_and_claim_keeps_what_the_first_claim_cost(store: Store) -> None:
    """The usage of an earlier claim is not lost when the job is stopped while it waits again."""
    job = await running(store)
    usage = (
        b'{"input_tokens":7,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":0,'
        b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":7,"source":"estimated"}'
    )
    await store.requeue(job, usage=usage)
    await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    terminal = (await log_of(store, job.response_id))[-1]
    assert terminal["sequence_number"] == 2
    assert terminal["response"]["usage"]["total_tokens"] == 7
    (record,) = await settlements(store, job.response_id)
    assert record["usage"] == terminal["response"]["usage"]


async def test_progress_tells_how_far_a_stop_got(store: Store) -> None:
    """Recorded, acknowledged, closed, settled: each as a time once it happened."""
    job = await running(store)
    receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    await store.ack(job, acked_at=1.5, upstream_closed_at=None)
    acked = await store.progress(job.response_id)
    assert (acked.recorded, acked.acked, acked.upstream_closed, acked.settled) == (receipt.recorded, 1.5, None, None)
    await settle(store, job, 2, status=Status.CANCELLED, stop=Stop("client", None, receipt.recorded or 0.0))
    done = await store.progress(job.response_id)
    assert (done.acked, done.upstream_closed, done.status) == (1.5, 2.5, Status.CANCELLED)
    assert done.settled is not None
    assert (await store.progress(submission().response_id)).outcome is StopOutcome.UNKNOWN


async def test_the_hint_names_job_generation_and_mark(database: Database, real_store: Store) -> None:
    """One message on the owning worker's channel, and on no other; a repeated stop sends it again."""
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    subscriber = Subscriber(
        database.open_connection,
        sharded=False,
        timeout_s=2.0,
        ping_every_s=5.0,
        on_message=lambda channel, message: heard.put_nowait((channel, message)),
        on_confirmed=lambda _: None,
    )
    async with subscriber.open():
        await subscriber.subscribe(keys.stop_channel(WORKER))
        job = await running(real_store)
        for _ in range(2):
            receipt = await real_store.stop(job.response_id, None, by="client", reason='say "no"\n')
            async with asyncio.timeout(2):
                channel, message = await heard.get()
            hint = parse_hint(message)
            assert channel == keys.stop_channel(WORKER)
            assert (hint.response_id, hint.generation) == (job.response_id, 1)
            assert hint.stop == Stop("client", 'say "no"\n', receipt.recorded or 0.0)
        assert heard.empty()
