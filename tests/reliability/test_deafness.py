"""Pub/sub that knows when it is deaf, and a claim or drain that comes at a bad moment."""

import asyncio
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from andon.database import Database, connection_maker
from andon.ids import ResponseId, WorkerId
from andon.replies import Claimed, Refused
from andon.store import Store
from andon.subscriber import Subscriber
from tests.chaos.proxy import Proxy, Way
from tests.reliability.shop import Shop
from tests.stack.prompt import Prompt
from tests.stack.waiting import wait_until
from worker.beat import Beat

_LEASE_S = 3.0


async def _renew_only(self: Beat) -> None:
    while await self.renew():  # noqa: ASYNC110  a beat is one
        await asyncio.sleep(_LEASE_S / 4)


async def test_a_frozen_stop_channel_is_noticed_resubscribed_and_reread(
    shop: Shop, network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel's connection stands and says nothing: its own ping finds out, and the new one reads every mark."""
    monkeypatch.setattr(Beat, "run", _renew_only)

    def lead_channel_through_network(database: Database) -> None:
        database.open_connection = connection_maker(network.url, timeout_s=0.5)

    prompt = Prompt(model="sim-mute")
    async with shop.worker(lease_s=_LEASE_S, on_database=lead_channel_through_network):
        response_id = await shop.start(prompt)
        network.hold(Way.DOWN)
        await shop.stop(response_id)
        # New connections are as deaf as the old one: while that lasts, nothing is claimed.
        second = Prompt(model="sim-mute")
        with capture_logs() as lines:
            await _given_up(lines, times=1)
            second_id = await shop.create(second)
            await _given_up(lines, times=2)
        assert (await shop.job(response_id)).state == "running"
        assert (await shop.job(second_id)).state == "queued"
        network.heal()
        assert (await shop.ending(response_id))["status"] == "cancelled"
        await shop.meter.opened(second.key)
        await shop.stop(second_id)
        await shop.ending(second_id)


async def _given_up(lines: list[MutableMapping[str, Any]], *, times: int) -> None:
    """Wait until the channel's connection was given up so many times: a starved machine may cost others theirs."""

    def is_of_the_channel(line: MutableMapping[str, Any]) -> bool:
        return (line["event"], line.get("role")) == ("connection.given_up", Subscriber.__name__)

    await wait_until(lambda: sum(map(is_of_the_channel, lines)) >= times, timeout_s=15)


class _LateClaim:
    """A claim whose answer comes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = asyncio.Event()
        self.answer = asyncio.Event()
        claim = Store.claim

        async def late(store: Store, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
            claimed = await claim(store, rid, worker_id)
            self.sent.set()
            await self.answer.wait()
            return claimed

        begin_claim = Store.begin_claim

        def begun_late(store: Store, rid: ResponseId, worker_id: WorkerId, on_claim: Callable[[Any], None]) -> bool:
            return begin_claim(store, rid, worker_id, partial(self._tell_soon, on_claim))

        monkeypatch.setattr(Store, "claim", late)
        monkeypatch.setattr(Store, "begin_claim", begun_late)

    def _tell_soon(self, on_claim: Callable[[Any], None], told: Any) -> None:
        self.sent.set()
        self._telling = asyncio.ensure_future(self._tell(on_claim, told))

    async def _tell(self, on_claim: Callable[[Any], None], told: Any) -> None:
        await self.answer.wait()
        on_claim(told)


async def test_a_claim_answered_after_its_worker_was_lost_starts_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would hear its stop: it is left to a rescuer, which queues it again."""
    late = _LateClaim(monkeypatch)
    prompt = Prompt(model="sim-mute")
    async with shop.worker(lease_s=_LEASE_S) as worker:
        response_id = await shop.create(prompt)
        await late.sent.wait()
        await shop.sweep()._leases.bury(worker.id, by_itself=True)  # noqa: SLF001  as a sweep elsewhere would
        await wait_until(worker.life._lost.is_set)  # noqa: SLF001  no door tells it sooner
        late.answer.set()
        await worker.ended()
        assert (await shop.meter.read(prompt.key)).requests == []
        await shop.sweep().bury_the_dead()
        assert (await shop.job(response_id)).state == "queued"


async def test_a_claim_answered_during_the_drain_is_drained_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain waits for every claim that was sent: no run outlives its worker."""
    late = _LateClaim(monkeypatch)
    prompt = Prompt(model="sim-mute")
    async with shop.worker(drain_s=0.1) as worker:
        response_id = await shop.create(prompt)
        await late.sent.wait()
        worker.shutdown.request()
        done, _ = await asyncio.wait({worker.task}, timeout=1.0)
        assert not done
        late.answer.set()
        await worker.ended()
        assert (await shop.job(response_id)).state == "queued"
    assert (await shop.meter.read(until=None)).open == 0


async def test_a_drain_without_redis_hears_the_switch(shop: Shop, network: Proxy) -> None:
    """Told to end while it is cut off, a worker still closes its upstreams within the lease."""
    lease_s = 1.0
    prompt = Prompt(model="sim-mute")
    async with shop.worker(url=network.url, lease_s=lease_s) as worker, shop.sweeping(lease_s=lease_s):
        response_id = await shop.start(prompt)
        network.hold(Way.BOTH)
        worker.shutdown.request()
        loop = asyncio.get_running_loop()
        began = loop.time()
        record = await shop.meter.ended(prompt.key)
        assert record.client_closed
        assert loop.time() - began < lease_s
        network.heal()
        await worker.ended()
        await wait_until(lambda: _has_left(shop, response_id, worker.id))


async def _has_left(shop: Shop, response_id: ResponseId, worker_id: WorkerId) -> bool:
    return (await shop.job(response_id)).owner != worker_id
