"""Settlement: one record a response, whatever died on the way, and usage that says where it comes from."""

from typing import Any

import msgspec
import pytest

from andon import keys
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, ResponseId
from andon.response import Status
from andon.store import Store
from andon.usage import count_tokens
from tests.contract.jobs import running, settle, submitted
from tests.reliability.shop import Shop, said
from tests.stack.prompt import Prompt
from tests.stack.waiting import wait_until

_ENDLESS = 100_000


async def records(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """Read as a billing consumer does: with a consumer group of its own, and an acknowledgement."""
    group = ("billing", "consumer-1")
    await shop.database.call("XGROUP", "CREATE", keys.SETTLEMENTS, group[0], "0", "MKSTREAM")
    await shop.database.call("EXPIRE", keys.SETTLEMENTS, 600)
    reply = await shop.database.call("XREADGROUP", "GROUP", *group, "COUNT", 1000, "STREAMS", keys.SETTLEMENTS, ">")
    found: dict[str, list[dict[str, Any]]] = {}
    for entry_id, fields in reply[0][1] if reply else ():
        record = dict(zip(fields[::2], fields[1::2], strict=True))
        found.setdefault(record[b"response_id"].decode(), []).append(msgspec.json.decode(record[b"settlement"]))
        assert await shop.database.call("XACK", keys.SETTLEMENTS, group[0], entry_id) == 1
    return found


async def test_each_response_has_one_record_that_a_consumer_group_reads(shop: Shop) -> None:
    """Completed, stopped while queued, stopped while it ran: who, what, how much, and the stop."""
    done, stopped = Prompt(tokens=20, rate=0), Prompt(tokens=_ENDLESS, rate=50)
    async with shop.worker():
        done_id = await shop.create(done)
        await shop.ending(done_id)
        stopped_id = await shop.speaking(stopped)
        await shop.stop(stopped_id)
        await shop.ending(stopped_id)
    queued_id = await shop.create(Prompt())
    await shop.stop(queued_id)
    await shop.sweep().sweep_sessions()
    found = await records(shop)
    assert {rid: len(each) for rid, each in found.items()} == {done_id: 1, stopped_id: 1, queued_id: 1}
    (completed,), (cancelled,), (unclaimed,) = found[done_id], found[stopped_id], found[queued_id]
    assert completed["status"] == "completed"
    assert completed["usage"]["source"] == "upstream"
    assert completed["usage"]["output_tokens"] == done.tokens
    assert completed["stop"] is None
    assert cancelled["status"] == unclaimed["status"] == "cancelled"
    assert cancelled["usage"]["source"] == "estimated"
    assert cancelled["stop"]["reason"] == "test"
    assert cancelled["stop"]["upstream_closed_at"] is not None
    assert unclaimed["usage"]["total_tokens"] == 0
    assert all(record["session"] and record["settled_at"] for record in (completed, cancelled, unclaimed))


async def test_the_records_usage_is_the_one_that_the_client_is_told(shop: Shop) -> None:
    """Settled once: the terminal event and the bill agree, and it counts the text that was received."""
    prompt = Prompt(tokens=_ENDLESS, rate=100)
    async with shop.worker():
        response_id = await shop.speaking(prompt)
        await shop.stop(response_id)
        response = await shop.ending(response_id)
    await shop.sweep().sweep_sessions()
    (record,) = (await records(shop))[response_id]
    assert record["usage"] == response["usage"]
    assert response["usage"]["output_tokens"] >= count_tokens(said(response)) > 0


async def test_a_record_is_shipped_although_its_worker_died_before_shipping(shop: Shop) -> None:
    """It lies in the session's outbox, written with the ending; the next sweep ships it, once."""
    job = await running(shop.store)
    await settle(shop.store, job, 2, "text")
    assert await shop.database.call("XLEN", keys.SETTLEMENTS) == 0
    await shop.sweep().sweep_sessions()
    await shop.sweep().sweep_sessions()
    assert len((await records(shop))[job.response_id]) == 1


async def test_a_record_shipped_twice_is_the_same_record(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipping is at least once: a shipper that dies between copy and deletion leaves a repeat with the same words."""
    job = await running(shop.store)
    await settle(shop.store, job, 2, "text")
    sweep = shop.sweep()
    evaluate = shop.database.eval

    def die(script: Any, names: Any, args: Any) -> Any:
        if script.name == "shipped":
            raise StoreUnavailable("the process is dead")
        return evaluate(script, names, args)

    with monkeypatch.context() as patch:
        patch.setattr(shop.database, "eval", die)
        with pytest.raises(StoreUnavailable):
            await sweep.sweep_sessions()
    await sweep.sweep_sessions()
    first, second = (await records(shop))[job.response_id]
    assert first == second


async def test_a_shipped_outbox_leaves_no_key(shop: Shop) -> None:
    """Else every session that ever was would leave an empty stream for a week."""
    job, rid = await running(shop.store), await submitted(shop.store)
    await settle(shop.store, job, 2, "text")
    await shop.store.stop(rid, ANONYMOUS, by="client", reason=None)
    assert await shop.database.call("KEYS", "andon:*:outbox") != []
    await shop.sweep().sweep_sessions()
    assert await shop.database.call("KEYS", "andon:*:outbox") == []


async def test_text_that_was_received_and_not_logged_counts(shop: Shop) -> None:
    """The provider bills it: a full log could not take it, and the usage tells of it all the same."""
    prompt = Prompt(tokens=_ENDLESS, rate=200, ttft_s=0.3)
    async with shop.worker():
        response_id = await shop.start(prompt)
        await shop.database.call("CONFIG", "SET", "maxmemory", 1)
        try:
            await wait_until(lambda: _has_spoken(shop, prompt))
            await shop.stop(response_id)
            response = await shop.ending(response_id)
        finally:
            await shop.database.call("CONFIG", "SET", "maxmemory", 0)
    assert said(response) == ""
    assert response["usage"]["output_tokens"] >= 10
    assert response["usage"]["source"] == "estimated"


async def _has_spoken(shop: Shop, prompt: Prompt) -> bool:
    (record,) = (await shop.meter.read(prompt.key)).requests
    return record.tokens_generated >= 30


async def test_an_upstream_that_had_finished_is_billed_exactly_although_it_was_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark came between the model's end and the settlement: cancelled, with the upstream's own usage."""
    settle_ = Store.settle
    stops: list[ResponseId] = []

    async def stop_first(store: Store, job: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs["status"] is Status.COMPLETED:
            stops.append(job.response_id)
            await shop.stop(job.response_id)
        return await settle_(store, job, *args, **kwargs)

    monkeypatch.setattr(Store, "settle", stop_first)
    prompt = Prompt(tokens=30, rate=0)
    async with shop.worker():
        response_id = await shop.create(prompt)
        response = await shop.ending(response_id)
    assert stops == [response_id]
    assert response["status"] == "cancelled"
    assert response["usage"]["source"] == "upstream"
    assert response["usage"]["output_tokens"] == prompt.tokens
    types = [event["type"] for event in await shop.log(response_id)]
    assert not [type_ for type_ in types if type_.endswith(".done")]
