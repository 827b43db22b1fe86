from collections.abc import AsyncIterator

import pytest

from andon.database import Database
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS
from andon.lease import About, Leases
from andon.replies import StopOutcome, Written
from andon.response import Status
from andon.store import Store
from tests.contract.jobs import WORKER, deltas, log_of, running, settle, settlements, submission, submitted

ABOUT = About(host="h", pid=1, live=0, concurrency=1, draining=False)


@pytest.fixture
async def full(database: Database) -> AsyncIterator[None]:
    """Undo a full store, whatever the test did."""
    yield
    await database.call("CONFIG", "SET", "maxmemory", 0)


async def fill(database: Database) -> None:
    """Leave the server without room, as a tenant's flood would."""
    await database.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await database.call("CONFIG", "SET", "maxmemory", 1)


@pytest.mark.usefixtures("full")
async def test_a_submit_to_a_full_store_is_refused_and_leaves_nothing(database: Database, real_store: Store) -> None:
    """The client is told `store_full` and may try again; no half-made job is left."""
    await fill(database)
    made = submission()
    with pytest.raises(StoreUnavailable) as refused:
        await real_store.submit(made)
    assert refused.value.code == "store_full"
    await database.call("CONFIG", "SET", "maxmemory", 0)
    assert await database.call("DBSIZE") == 0
    await real_store.submit(made)


@pytest.mark.usefixtures("full")
async def test_a_stop_and_its_settlement_work_in_a_full_store(database: Database, real_store: Store) -> None:
    """A stop frees memory and money: it is never refused for want of room."""
    queued, job = await submitted(real_store), await running(real_store)
    await fill(database)
    assert (await real_store.stop(queued, ANONYMOUS, by="client", reason=None)).settled is not None
    receipt = await real_store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    assert receipt.outcome is StopOutcome.RECORDED
    assert (await real_store.ack(job, acked_at=1.0, upstream_closed_at=None)).tag is Written.OK
    view = await real_store.job(job.response_id)
    assert view is not None
    assert (await settle(real_store, job, 2, status=Status.CANCELLED, stop=view.stop)).tag is Written.SETTLED
    for rid in (queued, job.response_id):
        assert (await log_of(real_store, rid))[-1]["response"]["status"] == "cancelled"
        assert len(await settlements(real_store, rid)) == 1


@pytest.mark.usefixtures("full")
async def test_an_append_to_a_full_store_is_refused_whole(database: Database, real_store: Store) -> None:
    """Nothing of the batch enters, so its repeat is the same batch."""
    job = await running(real_store)
    await fill(database)
    with pytest.raises(StoreUnavailable) as refused:
        await real_store.append(job, 2, deltas(job, 2, "a"), renew=True)
    assert refused.value.code == "store_full"
    assert len(await log_of(real_store, job.response_id)) == 2
    await database.call("CONFIG", "SET", "maxmemory", 0)
    assert (await real_store.append(job, 2, deltas(job, 2, "a"), renew=True)).length == 3


@pytest.mark.usefixtures("full")
async def test_a_lease_is_renewed_in_a_full_store(database: Database) -> None:
    """A worker whose lease stands goes on hearing stops: fullness alone kills no stream."""
    leases = Leases(database, lease_s=5)
    assert await leases.renew(WORKER, ABOUT)
    await fill(database)
    assert await leases.renew(WORKER, ABOUT)
    assert await leases.bury(WORKER, by_itself=True)
