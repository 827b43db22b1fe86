from andon import keys
from andon.database import Database
from andon.ids import ResponseId, new_worker_id
from andon.lease import About, Leases
from tests.contract.jobs import WORKER
from tests.stack.waiting import wait_until

ABOUT = About(host="here", pid=7, live=3, concurrency=10, draining=False)


async def test_a_renewed_worker_is_alive_and_listed(database: Database) -> None:
    """Nobody buries a worker whose lease stands."""
    leases = Leases(database, lease_s=30)
    assert await leases.renew(WORKER, ABOUT)
    assert not await leases.bury(WORKER)
    assert await leases.renew(WORKER, ABOUT)
    assert await leases.workers() == [WORKER]
    assert await leases.about(WORKER) == ABOUT


async def test_a_worker_whose_lease_ran_out_is_buried_and_never_renewed(database: Database) -> None:
    """Death is one script: expired, then tombstone, and every later renewal of that id is refused."""
    leases = Leases(database, lease_s=0.05)
    await leases.renew(WORKER, ABOUT)
    await wait_until(lambda: leases.bury(WORKER))
    assert not await leases.renew(WORKER, ABOUT)
    assert not await leases.renew(WORKER, ABOUT)
    assert await leases.bury(WORKER)
    assert await leases.renew(new_worker_id(), ABOUT)


async def test_a_late_renewal_before_the_burial_saves_the_worker(database: Database) -> None:
    """Expired is not dead: only the tombstone decides."""
    short, long = Leases(database, lease_s=0.001), Leases(database, lease_s=30)
    await short.renew(WORKER, ABOUT)
    assert await long.renew(WORKER, ABOUT)
    assert not await long.bury(WORKER)


async def test_a_worker_may_bury_itself_while_its_lease_stands(database: Database) -> None:
    """A clean end needs no lease's wait."""
    leases = Leases(database, lease_s=30)
    await leases.renew(WORKER, ABOUT)
    assert await leases.bury(WORKER, by_itself=True)
    assert not await leases.renew(WORKER, ABOUT)


async def test_a_worker_whose_lease_redis_lost_is_not_dead(database: Database) -> None:
    """It has a lease's time, from when that was found, to renew it: a Redis that came back empty kills nobody."""
    leases = Leases(database, lease_s=30)
    await leases.renew(WORKER, ABOUT)
    await database.call("DEL", keys.lease(WORKER))
    assert not await leases.bury(WORKER)
    assert not await leases.bury(WORKER)
    assert await leases.standings() == []  # nobody has said that it lives
    assert await leases.renew(WORKER, ABOUT)
    assert not await leases.bury(WORKER)


async def test_a_worker_whose_lease_redis_lost_and_that_does_not_renew_it_is_buried(database: Database) -> None:
    """Its jobs are rescued, and it learns so at its next renewal."""
    leases = Leases(database, lease_s=0.05)
    assert not await leases.bury(WORKER)
    await wait_until(lambda: leases.bury(WORKER))
    assert not await leases.renew(WORKER, ABOUT)
    assert await leases.about(WORKER) is None


async def test_a_worker_whose_lease_redis_lost_may_bury_itself(database: Database) -> None:
    """A clean end needs no lease's wait, here either."""
    leases = Leases(database, lease_s=30)
    assert await leases.bury(WORKER, by_itself=True)
    assert not await leases.renew(WORKER, ABOUT)


async def test_a_removed_worker_leaves_its_tombstone_only(database: Database) -> None:
    """Index entry and job set go; the id stays dead."""
    leases = Leases(database, lease_s=30)
    await leases.renew(WORKER, ABOUT)
    await database.call("SADD", keys.worker_jobs(WORKER), "resp_x")
    await leases.renew(WORKER, ABOUT)
    assert await leases.jobs(WORKER) == [ResponseId("resp_x")]
    await leases.bury(WORKER, by_itself=True)
    await leases.remove(WORKER)
    assert await leases.workers() == []
    assert await leases.jobs(WORKER) == []
    assert not await leases.renew(WORKER, ABOUT)
    assert await database.call("EXISTS", keys.WORKERS) == 1  # the refused renewal's hint: a superset, swept later
