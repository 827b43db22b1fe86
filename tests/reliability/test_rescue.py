"""Rescue: what becomes of the jobs of a dead worker, and of what a crash left between two writes."""

import pytest

from andon import keys
from andon import sweep as sweeping
from andon.ids import ANONYMOUS, ResponseId, WorkerId
from andon.lease import About, Leases
from andon.queue import Queue
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import WORKER, claim, deltas, log_of, running, settle, settlements, submitted, types_of
from tests.reliability.shop import Shop, said
from tests.stack.prompt import Prompt

_ABOUT = About(host="h", pid=1, live=0, concurrency=1, draining=False)
_OTHER = WorkerId("w_other")


@pytest.fixture
def store(shop: Shop) -> Store:
    return shop.store


async def die(shop: Shop, worker_id: WorkerId = WORKER) -> None:
    """Let a worker be found dead: its lease is over."""
    leases = Leases(shop.database, lease_s=60)
    await leases.renew(worker_id, _ABOUT)
    await leases.bury(worker_id, by_itself=True)


async def test_a_job_without_output_is_queued_again_and_its_first_events_are_not_repeated(
    shop: Shop, store: Store
) -> None:
    """The next claim goes on at number 2; `response.created` and `response.in_progress` stand once."""
    job = await running(store)
    await die(shop)
    await shop.sweep().bury_the_dead()
    assert (await shop.job(job.response_id)).state == "queued"
    again = await claim(store, job.response_id, _OTHER)
    assert (again.generation, again.next_number) == (2, 2)
    assert await types_of(store, job.response_id) == ["response.created", "response.in_progress"]


async def test_a_marked_job_is_cancelled_by_its_rescuer(shop: Shop, store: Store) -> None:
    """The stop is obeyed whether or not there was output; its words are kept."""
    silent, speaking = await running(store, session="a"), await running(store, session="b")
    await store.append(speaking, 2, deltas(speaking, 2, "partial"), renew=False)
    for job in (silent, speaking):
        await store.stop(job.response_id, ANONYMOUS, by="client", reason="enough")
    await die(shop)
    await shop.sweep().bury_the_dead()
    for job, text in ((silent, ""), (speaking, "partial")):
        ending = (await log_of(store, job.response_id))[-1]["response"]
        assert ending["status"] == "cancelled"
        assert ending["stop"]["reason"] == "enough"
        assert said(ending) == text
        assert len(await settlements(store, job.response_id)) <= 1


async def test_a_job_with_output_fails_and_keeps_its_text(shop: Shop, store: Store) -> None:
    """`worker_lost`, with all that was logged, and its tokens counted."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "some ", "words"), renew=False)
    await die(shop)
    await shop.sweep().bury_the_dead()
    event = (await log_of(store, job.response_id))[-1]
    assert event["type"] == "response.failed"
    assert event["response"]["error"]["type"] == "worker_lost"
    assert said(event["response"]) == "some words"
    assert event["response"]["output"][0]["status"] == "incomplete"
    assert event["response"]["usage"]["source"] == "estimated"
    assert event["response"]["usage"]["output_tokens"] > 0


async def test_a_job_whose_claims_are_spent_fails(shop: Shop, store: Store) -> None:
    """A request that kills every worker does not go round for ever."""
    job = await running(store)
    for number in range(Settings().max_attempts):
        worker_id = WorkerId(f"w_{number}")
        if number:
            job = await claim(store, job.response_id, worker_id)
        await die(shop, worker_id if number else WORKER)
        await shop.sweep().bury_the_dead()
    event = (await log_of(store, job.response_id))[-1]
    assert event["response"]["error"]["type"] == "worker_lost"
    assert event["response"]["status"] == "failed"


async def test_a_rescue_done_twice_changes_nothing(shop: Shop, store: Store) -> None:
    """Two rescuers, or one that died midway: one ending."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "x"), renew=False)
    await die(shop)
    rescuer = shop.sweep().rescuer
    assert await rescuer.rescue_job(job.response_id, WORKER)
    before = await log_of(store, job.response_id)
    assert not await rescuer.rescue_job(job.response_id, WORKER)
    assert await log_of(store, job.response_id) == before


async def test_a_living_workers_job_is_left_alone(shop: Shop, store: Store) -> None:
    """Neither look takes a job from a worker whose lease stands."""
    job = await running(store)
    await Leases(shop.database, lease_s=60).renew(WORKER, _ABOUT)
    await shop.sweep().bury_the_dead()
    await shop.sweep().sweep_sessions()
    assert (await shop.job(job.response_id)).state == "running"


async def test_a_job_of_a_dead_worker_that_no_set_names_is_found_by_its_session(shop: Shop, store: Store) -> None:
    """A claim that ran after its worker was buried and forgotten: the session's sweep knows the owner."""
    await die(shop)
    await shop.sweep().bury_the_dead()
    job = await running(store)
    await shop.database.call("DEL", keys.worker_jobs(WORKER))
    await shop.sweep().bury_the_dead()
    assert (await shop.job(job.response_id)).state == "running"
    await shop.sweep().sweep_sessions()
    assert (await shop.job(job.response_id)).state == "queued"


async def test_a_queued_job_that_lost_its_queue_entry_is_queued_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep compares the queue with the job, and a worker runs it."""
    monkeypatch.setattr(sweeping, "_LOST_AFTER_S", 0.0)
    prompt = Prompt()
    response_id = await shop.create(prompt)
    (entry,) = await shop.database.call("XRANGE", keys.QUEUE, "-", "+")
    await shop.database.call("XDEL", keys.QUEUE, entry[0])
    async with shop.worker():
        await shop.sweep().sweep_sessions()
        assert (await shop.ending(response_id))["status"] == "completed"


async def test_an_entry_that_was_read_and_never_claimed_is_adopted(shop: Shop, store: Store) -> None:
    """Its reader lives and has forgotten it, or is dead: either way another worker gets it."""
    queue = Queue(shop.database, shop.database, WORKER)
    await queue.adopt(idle_s=1)  # makes the group
    rid = await submitted(store)
    (entry,) = await queue.read(10, block_s=0.1)
    assert entry.response_id == rid
    other = Queue(shop.database, shop.database, _OTHER)
    assert await other.read(10, block_s=0.01) == []
    (adopted,) = await other.adopt(idle_s=0)
    assert adopted.response_id == rid


async def test_a_worker_runs_what_another_read_and_never_claimed(shop: Shop) -> None:
    """Nobody ever finds that reader dead: the entry is adopted all the same, two leases after it was read."""
    queue = Queue(shop.database, shop.database, WORKER)
    await queue.adopt(idle_s=1)
    response_id = await shop.create(Prompt())
    assert await queue.read(10, block_s=0.1)
    async with shop.worker(lease_s=1.0):
        assert (await shop.ending(response_id))["status"] == "completed"


async def test_what_a_dead_worker_read_goes_back_into_the_queue(shop: Shop, store: Store) -> None:
    """Found dead, it bequeaths its pending entries."""
    queue = Queue(shop.database, shop.database, WORKER)
    await queue.adopt(idle_s=1)
    rid = await submitted(store)
    assert await queue.read(10, block_s=0.1)
    await die(shop)
    await shop.sweep().bury_the_dead()
    other = Queue(shop.database, shop.database, _OTHER)
    assert [entry.response_id for entry in await other.read(10, block_s=0.1)] == [rid]


async def test_a_lane_whose_turn_was_never_given_goes_on(
    shop: Shop, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the settlement and the promotion: the sweep gives the turn."""
    first = await running(store, lane="s/lane")
    second = await submitted(store, lane="s/lane")
    assert (await shop.job(second)).state == "waiting"

    async def die_first(_store: Store, _rid: ResponseId | None) -> None:
        """Die before the promotion."""

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_give_turn", die_first)
        await settle(store, first, 2)
    assert (await shop.job(second)).state == "waiting"
    await shop.sweep().sweep_sessions()
    assert (await shop.job(second)).state == "queued"
    assert (await claim(store, second, _OTHER)).next_number == 2


async def test_a_dead_worker_is_found_also_in_a_full_store(shop: Shop, store: Store) -> None:
    """Sweeping needs no room: a stop is settled although its worker is dead and Redis is full."""
    job = await running(store)
    await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    await die(shop)
    await shop.database.call("CONFIG", "SET", "maxmemory", 1)
    try:
        async with shop.sweeping(lease_s=1.0):
            assert (await shop.ending(job.response_id))["status"] == "cancelled"
    finally:
        await shop.database.call("CONFIG", "SET", "maxmemory", 0)


async def test_what_a_failover_left_of_a_log_is_ended_as_it_stands(shop: Shop) -> None:
    """The worker lives, but its next number is not the log's: it closes its upstream and ends what is left."""
    prompt = Prompt(tokens=10_000, rate=50)
    async with shop.worker():
        response_id = await shop.speaking(prompt)
        await shop.database.call("RPOP", keys.log(response_id), 2)
        failed = await shop.ending(response_id)
        assert failed["error"]["type"] == "worker_lost"
        assert said(failed) == await shop.text(response_id)
        assert (await shop.meter.ended(prompt.key)).client_closed


async def test_a_stop_ends_a_log_that_a_failover_cut(shop: Shop) -> None:
    """The mark decides, whatever is left of the log."""
    prompt = Prompt(model="sim-stall", after=5)
    async with shop.worker():
        response_id = await shop.speaking(prompt)
        await shop.database.call("RPOP", keys.log(response_id), 1)
        await shop.stop(response_id)
        assert (await shop.ending(response_id))["status"] == "cancelled"
        assert (await shop.meter.ended(prompt.key)).client_closed


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_job_that_runs_in_the_name_of_a_worker_that_knows_nothing_of_it_is_rescued(
    shop: Shop, *, is_stopped: bool
) -> None:
    """A failover lost its ending, or the answer of its claim was lost: its worker finds it in its own job set."""
    lease_s = 2.0
    prompt = Prompt()
    async with shop.worker(lease_s=lease_s, worker_concurrency=1) as worker:
        blocking = Prompt(model="sim-mute")
        blocking_id = await shop.start(blocking)
        response_id = await shop.create(prompt)
        await claim(shop.store, response_id, worker.id)
        if is_stopped:
            await shop.stop(response_id)
        await shop.stop(blocking_id)
        response = await shop.ending(response_id)
        assert response["status"] == ("cancelled" if is_stopped else "completed")
