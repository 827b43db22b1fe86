"""A Redis that comes back empty, under workers that live: their leases are gone until they renew them."""

import asyncio

import pytest

from andon import keys
from andon.ids import WorkerId
from andon.lease import About, Leases
from tests.reliability.shop import Shop, Worker
from tests.stack.prompt import Prompt
from tests.stack.waiting import wait_until
from worker.claimer import Claimer

# Beats are a quarter of it apart: within a test none comes.
_LEASE_S = 240.0


async def _is_renewed(shop: Shop, worker: Worker) -> bool:
    """Tell whether this worker itself has renewed its lease: a sweep's grace says nothing about it."""
    return bool(await shop.database.call("HEXISTS", keys.lease(worker.id), "about"))


async def test_a_job_claimed_before_the_lease_stands_again_is_not_taken_away(shop: Shop) -> None:
    """Swept twice while no beat has renewed the lease: its worker runs it on, and hears its stop."""
    async with shop.worker(lease_s=_LEASE_S) as worker:
        await shop.database.everywhere("FLUSHALL")
        response_id = await shop.speaking(Prompt(tokens=100_000))
        assert not await _is_renewed(shop, worker)
        for _ in range(2):
            await shop.sweep().sweep_sessions()
            await shop.sweep().bury_the_dead()
        assert (await shop.job(response_id)).state == "running"
        await shop.stop(response_id)
        assert (await shop.ending(response_id, timeout_s=30))["status"] == "cancelled"
        assert not worker.task.done()


async def test_a_job_of_a_worker_that_died_with_the_data_is_ended_a_lease_later(shop: Shop) -> None:
    """It claimed from the empty Redis and was killed before it renewed: nothing but the session names it."""
    async with shop.worker(lease_s=_LEASE_S) as worker:
        await shop.database.everywhere("FLUSHALL")
        response_id = await shop.speaking(Prompt(tokens=100_000))
        await worker.die()
        assert not await _is_renewed(shop, worker)
        async with shop.sweeping(lease_s=0.5):
            response = await shop.ending(response_id, timeout_s=30)
        assert response["error"]["type"] == "worker_lost"


async def test_a_lease_is_renewed_as_soon_as_the_stop_channel_is_back(shop: Shop) -> None:
    """Not at the next beat, a minute later: who looks for workers finds it."""
    async with shop.worker(lease_s=_LEASE_S) as worker:
        await shop.database.everywhere("FLUSHALL")
        await shop.database.everywhere("CLIENT", "KILL", "TYPE", "pubsub")
        await wait_until(lambda: _is_renewed(shop, worker))
        assert await Leases(shop.database, lease_s=_LEASE_S).workers() == [worker.id]


async def test_nothing_is_claimed_until_the_lease_is_renewed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel is confirmed and the queue is read; the job waits for the renewal all the same."""
    asked, may_renew = asyncio.Event(), asyncio.Event()
    looks = 0
    renew, wait_for_room = Leases.renew, Claimer._wait_for_room  # noqa: SLF001  where a claimer that may not claim is

    async def held(self: Leases, worker_id: WorkerId, about: About) -> bool:
        asked.set()
        await may_renew.wait()
        return await renew(self, worker_id, about)

    async def counted(self: Claimer) -> None:
        nonlocal looks
        looks += 1
        await wait_for_room(self)

    async with shop.worker(lease_s=_LEASE_S):
        monkeypatch.setattr(Leases, "renew", held)
        monkeypatch.setattr(Claimer, "_wait_for_room", counted)
        await shop.database.everywhere("FLUSHALL")
        await shop.database.everywhere("CLIENT", "KILL", "TYPE", "pubsub")
        await wait_until(asked.is_set)
        response_id = await shop.create(Prompt())
        before = looks
        await wait_until(lambda: looks >= before + 3, what="the claimer looks whether it may")
        assert (await shop.job(response_id)).state == "queued"
        may_renew.set()
        assert (await shop.ending(response_id, timeout_s=30))["status"] == "completed"
