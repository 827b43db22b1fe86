"""The four paths of a stop, each with the other three taken away."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from andon import keys
from andon.ids import WorkerId
from tests.chaos.proxy import Proxy, Way
from tests.reliability.shop import Shop, said
from tests.stack.prompt import Prompt
from tests.stack.waiting import wait_until
from worker.beat import Beat
from worker.roster import Roster

_ENDLESS = 100_000
_SOON_S = 1.0  # milliseconds as a rule; the bound is for a loaded machine


def _drop(*_: Any) -> None:
    """Take a path away."""


@pytest.fixture
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let published hints arrive and be dropped."""
    monkeypatch.setattr(Roster, "hint", _drop)


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no mark be read anew, at no beat and on no subscription."""
    monkeypatch.setattr(Roster, "look_at", _drop)


@pytest.fixture
def no_beat_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the beat renew the lease and look at nothing."""

    async def renew_only(self: Beat) -> None:
        while await self.renew():  # noqa: ASYNC110  a beat is one
            await asyncio.sleep(0.2)

    monkeypatch.setattr(Beat, "run", renew_only)


@pytest.mark.usefixtures("no_looks")
async def test_the_published_hint_alone_closes_a_silent_upstream(shop: Shop) -> None:
    """No token comes, nothing is read anew: the hint stops the stream within milliseconds."""
    prompt = Prompt(model="sim-mute")
    async with shop.worker() as worker:
        response_id = await shop.start(prompt)
        recorded = (await shop.stop(response_id)).recorded
        response = await shop.ending(response_id)
        assert response["status"] == "cancelled"
        record = await shop.meter.ended(prompt.key)
        assert record.closed_at is not None
        assert recorded is not None
        assert record.closed_at - recorded < _SOON_S
        await worker.told_stop("hint")
        assert worker.scrape().value("andon_stop_to_closed_seconds_count", path="hint") == 1


@pytest.mark.usefixtures("no_hints", "no_looks")
async def test_the_reply_to_the_next_append_alone_stops_a_stream(shop: Shop) -> None:
    """The hint is lost: the next token's append is refused with the mark, and nothing of it enters the log."""
    prompt = Prompt(tokens=_ENDLESS, rate=50)
    async with shop.worker() as worker:
        response_id = await shop.speaking(prompt)
        receipt = await shop.stop(response_id)
        length = len(await shop.log(response_id))
        response = await shop.ending(response_id)
        assert response["status"] == "cancelled"
        assert response["stop"]["requested_at"] == receipt.recorded
        assert len(await shop.log(response_id)) == length + 1
        assert said(response) == await shop.text(response_id)
        assert (await shop.meter.ended(prompt.key)).client_closed
        await worker.told_stop("append")
        # What that append held came after the mark, or was on its way then.
        assert worker.scrape().value("andon_tokens_after_stop_total") >= 1


@pytest.mark.usefixtures("no_hints")
async def test_the_mark_read_at_the_beat_alone_stops_a_silent_stream(shop: Shop) -> None:
    """The hint is lost and nothing is appended: a beat, a quarter of the lease later, finds the mark."""
    prompt = Prompt(model="sim-silent")
    async with shop.worker(lease_s=2.0) as worker:
        response_id = await shop.start(prompt)
        await shop.stop(response_id)
        assert (await shop.ending(response_id, timeout_s=2.0))["status"] == "cancelled"
        assert (await shop.meter.ended(prompt.key)).client_closed
        assert not worker.task.done()
        await worker.told_stop("beat")


@pytest.mark.usefixtures("no_hints", "no_beat_looks")
async def test_the_mark_read_on_a_new_subscription_alone_stops_a_silent_stream(shop: Shop) -> None:
    """The hint was lost with its connection: the confirmation of the next subscription reads the marks anew."""
    prompt = Prompt(model="sim-mute")
    async with shop.worker() as worker:
        response_id = await shop.start(prompt)
        await shop.stop(response_id)
        assert (await shop.job(response_id)).state == "running"
        await shop.database.call("CLIENT", "KILL", "TYPE", "pubsub")
        assert (await shop.ending(response_id, timeout_s=3.0))["status"] == "cancelled"
        assert (await shop.meter.ended(prompt.key)).client_closed
        await worker.told_stop("subscribe")


@pytest.mark.usefixtures("no_hints", "no_looks")
async def test_the_mark_found_at_the_claim_alone_keeps_a_job_from_the_model(shop: Shop) -> None:
    """A mark on a queued job, as a requeue or a failover may leave it: the claim settles it, no request is made."""
    prompt = Prompt()
    response_id = await shop.create(prompt)
    mark = '{"by":"client","reason":null,"requested_at":1.5,"upstream_closed_at":null}'
    await shop.database.call("HSET", keys.job(response_id), "stop_at", "1.5", "stop_json", mark)
    async with shop.worker() as worker:
        response = await shop.ending(response_id)
        assert response["status"] == "cancelled"
        assert response["usage"]["source"] == "upstream"
        assert response["usage"]["total_tokens"] == 0
        await worker.told_stop("claim")
    assert (await shop.meter.read(prompt.key)).requests == []


@pytest.mark.usefixtures("no_hints", "no_looks")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda network: network.hold(Way.BOTH), id="partition"),
        pytest.param(lambda network: network.swallow(Way.DOWN), id="deaf"),
        pytest.param(lambda network: network.swallow(Way.UP), id="mute"),
        pytest.param(lambda network: network.refuse(), id="refused"),
    ],
)
async def test_the_switch_alone_closes_what_redis_cannot_reach(
    shop: Shop, network: Proxy, fault: Callable[[Proxy], None]
) -> None:
    """Cut off from Redis in any way, the worker closes its upstreams itself, within the lease; others end the job."""
    lease_s = 1.0
    prompt = Prompt(model="sim-mute")
    async with shop.worker(url=network.url, lease_s=lease_s) as worker, shop.sweeping(lease_s=lease_s):
        response_id = await shop.start(prompt)
        fault(network)
        cut_off_at = time.time()
        await shop.stop(response_id)
        record = await shop.meter.ended(prompt.key)
        assert record.closed_at is not None
        assert record.closed_at - cut_off_at < lease_s
        assert (await shop.ending(response_id))["status"] == "cancelled"
        network.heal()
        await worker.ended()
        await worker.told_stop("switch", "left")
        await wait_until(lambda: _is_dead(shop, worker.id))


async def _is_dead(shop: Shop, worker_id: WorkerId) -> bool:
    return bool(await shop.database.call("HEXISTS", keys.lease(worker_id), "dead"))


@pytest.mark.usefixtures("no_looks")
async def test_a_hint_about_another_generation_is_checked_and_not_obeyed(shop: Shop) -> None:
    """A late hint of a claim that is over, or a forged one: the mark decides, and there is none."""
    prompt = Prompt(tokens=60, rate=60)
    async with shop.worker() as worker:
        response_id = await shop.speaking(prompt)
        stop = '{"by":"x","reason":null,"requested_at":1.5,"upstream_closed_at":null}'
        for generation in (0, 2):
            heard = await shop.database.call(
                "PUBLISH", keys.stop_channel(worker.id), f"{response_id} {generation} {stop}"
            )
            assert heard == 1
        response = await shop.ending(response_id)
        assert response["status"] == "completed"
        assert said(response) == prompt.text()


async def test_a_hint_about_another_generation_of_a_marked_job_is_obeyed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop addresses the job, not one claim of it: the mark is read anew, and found."""
    prompt = Prompt(model="sim-mute")
    with monkeypatch.context() as patch:
        patch.setattr(Roster, "hint", _drop)
        async with shop.worker() as worker:
            response_id = await shop.start(prompt)
            mark = (await shop.stop(response_id)).recorded
            assert (await shop.job(response_id)).state == "running"
            patch.undo()
            stop = f'{{"by":"client","reason":null,"requested_at":{mark},"upstream_closed_at":null}}'
            await shop.database.call("PUBLISH", keys.stop_channel(worker.id), f"{response_id} 9 {stop}")
            assert (await shop.ending(response_id))["status"] == "cancelled"
