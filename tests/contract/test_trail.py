"""The audit on a real server: who asked for which stop, and what became of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from andon import keys
from andon.audit import Asker, AuditReader, Door, Entry, Outcome, Role, Step
from andon.database import Database
from andon.ids import ANONYMOUS, Principal
from andon.lifetime import background
from andon.replies import StopReceipt
from andon.response import Status
from andon.settings import Settings
from andon.store import Store
from andon.trail import Trail
from tests.contract.jobs import STRANGER, running, settle, submission, submitted
from tests.contract.test_full_store import fill
from tests.stack.waiting import wait_until

OWNER = Asker(ANONYMOUS, Role.OWNER, Door.HTTP, "192.0.2.1", "curl/8")
OPERATOR = Asker(Principal("ops", "olga"), Role.OPERATOR, Door.ADMIN)


@asynccontextmanager
async def trailing(store: Store) -> AsyncIterator[Trail]:
    """Run a trail for the length of a block."""
    trail = Trail(store, process="g_test")
    async with background(trail.run()):
        yield trail


async def entries(database: Database, tenant: str | None = None) -> list[Entry]:
    """Read the whole audit."""
    read = AuditReader(database).entries("-", "+", tenant=tenant)
    return [entry async for _, entry in read if entry is not None]


async def outcomes(database: Database, count: int = 1) -> list[Entry]:
    """Wait for so many outcomes."""
    found: list[Entry] = []

    async def are_there() -> bool:
        found[:] = [entry for entry in await entries(database) if entry.step is Step.OUTCOME]
        return len(found) >= count

    await wait_until(are_there)
    return found


async def stop(store: Store, trail: Trail, asker: Asker, rid: str) -> StopReceipt:
    """Stop as a gateway does: the ask first, without waiting for it."""
    response_id = submission().response_id if rid == "unknown" else type(submission().response_id)(rid)
    ask = trail.ask(asker, [response_id], reason="enough")
    receipt = await store.stop(response_id, asker.owner, by=asker.by, reason=ask.reason)
    trail.follow(ask, [receipt])
    return receipt


async def test_a_stop_is_asked_first_and_told_when_it_is_settled(database: Database, real_store: Store) -> None:
    """Both halves share an id; the outcome waits for the settlement and has every time of it."""
    job = await running(real_store)
    async with trailing(real_store) as trail:
        receipt = await stop(real_store, trail, OWNER, job.response_id)
        (asked,) = await entries(database)
        assert (asked.step, asked.asker, asked.process) == (Step.ASKED, OWNER, "g_test")
        assert (asked.response_ids, asked.reason, asked.tenant) == ((job.response_id,), "enough", "default")
        view = await real_store.job(job.response_id)
        assert view is not None
        await settle(real_store, job, 2, status=Status.CANCELLED, stop=view.stop)
        (told,) = await outcomes(database)
    assert (told.id, told.outcome, told.status) == (asked.id, Outcome.STOPPED, "cancelled")
    assert (told.response_id, told.recorded) == (job.response_id, receipt.recorded)
    assert told.settled is not None
    assert (told.acked, told.upstream_closed) == (1.5, 2.5)


async def test_refused_stops_are_told_too(database: Database, real_store: Store) -> None:
    """Unknown, foreign and already ended: the entry concerns who asked, not whom the response belongs to."""
    ended = await running(real_store)
    await settle(real_store, ended, 2)
    foreign = await submitted(real_store, session="other")
    other = Asker(Principal("elsewhere", "eve"), Role.OWNER, Door.SOCKET)
    async with trailing(real_store) as trail:
        await stop(real_store, trail, OWNER, "unknown")
        await stop(real_store, trail, OWNER, ended.response_id)
        await stop(real_store, trail, other, foreign)
        told = await outcomes(database, 3)
    assert [entry.outcome for entry in told] == [Outcome.UNKNOWN, Outcome.ALREADY_ENDED, Outcome.FOREIGN]
    assert [entry.tenant for entry in told] == ["default", "default", "elsewhere"]
    assert {entry.outcome for entry in await entries(database, "elsewhere")} == {None, Outcome.FOREIGN}
    assert STRANGER.tenant == "default"


async def test_an_operators_stop_concerns_the_tenant_of_the_response(database: Database, real_store: Store) -> None:
    """So that the tenant's own operators can read who stopped it."""
    rid = await submitted(real_store)
    async with trailing(real_store) as trail:
        await stop(real_store, trail, OPERATOR, rid)
        (told,) = await outcomes(database)
    assert (told.tenant, told.outcome, told.asker) == ("default", Outcome.STOPPED, OPERATOR)
    assert [entry.step for entry in await entries(database, "default")] == [Step.OUTCOME]


async def test_the_ask_reaches_redis_before_the_stop(database: Database, real_store: Store) -> None:
    """A process that dies between the two leaves an ask without a stop, never a stop without an ask."""
    job = await running(real_store)
    trail = Trail(real_store, process="g_test")  # it does not run: its process is dead
    ask = trail.ask(OWNER, [job.response_id], reason=None)
    stopping = asyncio.ensure_future(real_store.stop(job.response_id, ANONYMOUS, by="client", reason=None))
    recorded = (await stopping).recorded
    assert recorded is not None
    ((place, _),) = await database.call("XRANGE", keys.AUDIT, "-", "+")
    assert int(place.split(b"-")[0]) <= recorded * 1000
    assert [entry.id for entry in await entries(database)] == [ask.id]


async def test_a_full_redis_refuses_the_audit_and_not_the_stop(database: Database, real_store: Store) -> None:
    """What could not be written waits, and is written once there is room."""
    job = await running(real_store)
    try:
        await fill(database)
        async with trailing(real_store) as trail:
            receipt = await stop(real_store, trail, OWNER, job.response_id)
            assert receipt.recorded is not None
            assert await entries(database) == []
            await database.call("CONFIG", "SET", "maxmemory", 0)

            async def is_written() -> bool:
                return bool(await entries(database))

            await wait_until(is_written)
    finally:
        await database.call("CONFIG", "SET", "maxmemory", 0)
    told = await entries(database)
    # The end of the trail says what was known by then: asked, recorded, not settled.
    assert [(entry.step, entry.outcome) for entry in told] == [(Step.ASKED, None), (Step.OUTCOME, Outcome.UNSETTLED)]
    assert told[1].recorded == receipt.recorded


async def test_many_responses_of_one_ask_are_one_entry_and_an_outcome_each(
    database: Database, real_store: Store
) -> None:
    """The list in an ask is bounded; the outcomes tell all."""
    ids = [await submitted(real_store, session=str(number)) for number in range(130)]
    async with trailing(real_store) as trail:
        ask = trail.ask(OPERATOR, ids, reason=None)
        receipts = await asyncio.gather(*(real_store.stop(rid, None, by="olga", reason=None) for rid in ids))
        trail.follow(ask, receipts)
        told = await outcomes(database, len(ids))
    assert {entry.response_id for entry in told} == set(ids)
    asked = (await entries(database))[0]
    assert (len(asked.response_ids), asked.count) == (100, 130)


@pytest.mark.parametrize("bound", [1000])
async def test_the_audit_is_bounded_and_expires(database: Database, bound: int) -> None:
    """However many stops are asked for, it keeps about the bound, and goes a week after the last."""
    store = Store(database, Settings(audit_max_entries=bound))
    trail = Trail(store, process="g_test")
    for _ in range(3 * bound):
        trail.ask(OWNER, [], reason=None)

    async def are_written() -> bool:
        return bool(await database.call("XLEN", keys.AUDIT)) and not trail._sent  # noqa: SLF001  what is in flight

    await wait_until(are_written)
    assert bound <= await database.call("XLEN", keys.AUDIT) < 1.5 * bound
    assert 0 < await database.call("PTTL", keys.AUDIT) <= 7 * 86400 * 1000
