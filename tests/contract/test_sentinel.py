"""Sentinel: a real master, replica and trio of sentinels; demotions, failovers, and a master that was replaced."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio.connection import AbstractConnection

from andon.address import parse_address
from andon.database import Database, connection_maker
from andon.errors import StartError, StoreUnavailable
from andon.ids import ANONYMOUS
from andon.replication import Waiting
from andon.sentinel import Sentinels
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import running
from tests.depth import only_in_full
from tests.stack.sentinel_trio import SERVICE, Sentinel, SentinelTrio
from tests.stack.servers import role
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def trio() -> Iterator[SentinelTrio]:
    """Give a trio that is whole before each test: failovers are all that is done to it."""
    made = SentinelTrio()
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def database(trio: SentinelTrio) -> AsyncIterator[Database]:
    async with Database(trio.url, timeout_s=2.0).open() as database:
        await database.wait_connected(10)
        yield database


async def _port(database: Database) -> int:
    found = (await database.call("CONFIG", "GET", "port"))[1]
    return int(found)


async def _writes(database: Database, value: str) -> None:
    """Write until it is taken: what a caller that repeats sees of a failover."""

    async def written() -> bool:
        with contextlib.suppress(StoreUnavailable):
            return bool(await database.call("SET", "key", value, "PX", 60_000) == b"OK")
        return False

    await wait_until(written, timeout_s=40)


async def test_commands_go_to_the_master_and_follow_it(trio: SentinelTrio, database: Database) -> None:
    """After an ordered failover the link stands at the new master, within the patience of those who repeat."""
    old = trio.holder("")
    assert await _port(database) == old.port
    await asyncio.to_thread(trio.failover)
    await _writes(database, "after")
    assert await _port(database) == trio.holder("").port != old.port


@only_in_full
async def test_a_subscriber_hears_what_is_published_at_the_new_master(trio: SentinelTrio, database: Database) -> None:
    """Confirmed anew after a failover, so whoever listens reads what was published in between."""
    heard: list[bytes] = []
    confirmed: list[str] = []
    subscriber = database.subscriber(
        sharded=False,
        timeout_s=2.0,
        ping_every_s=0.5,
        on_message=lambda _, message: heard.append(message),
        on_confirmed=confirmed.append,
    )
    async with subscriber.open():
        await subscriber.subscribe("c")
        await asyncio.to_thread(trio.failover)
        await wait_until(lambda: len(confirmed) >= 2 and not subscriber.deaf, timeout_s=40)
        await _writes(database, "there")
        await database.call("PUBLISH", "c", "after")
        await wait_until(lambda: b"after" in heard)


@only_in_full
async def test_a_stop_is_replicated_before_and_after_a_failover(trio: SentinelTrio, database: Database) -> None:
    """WAIT follows the master: its replica is the one that is asked."""
    replication = database.replication(timeout_s=2.0, wait_s=1.0)
    store = Store(database, Settings(), replication)
    async with replication.open():
        for _ in range(2):
            await wait_until(lambda: _has_replica(replication), timeout_s=40)
            await _writes(database, "there")
            job = await running(store)
            receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
            assert isinstance(receipt.replicated, float)
            await asyncio.to_thread(trio.failover)


async def _has_replica(replication: Waiting) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return await replication.count() == 1
    return False


async def test_a_write_that_a_replica_refuses_is_a_retry_and_leaves_it(trio: SentinelTrio) -> None:
    """READONLY tells a link that it stands at the wrong server: nothing ran, and the next connection is a new one."""
    await asyncio.to_thread(trio.holder, "")
    (replica,) = [node for node in trio.nodes if node not in trio.masters()]
    async with Database(replica.url, timeout_s=2.0).open() as database:
        await database.wait_connected(5)
        number = await database.call("CLIENT", "ID")
        with pytest.raises(StoreUnavailable):
            await database.call("SET", "key", 1)

        async def is_another() -> bool:
            with contextlib.suppress(StoreUnavailable):
                return bool(await database.call("CLIENT", "ID") > number)
            return False

        await wait_until(is_another)


async def test_a_server_that_says_it_is_a_replica_is_refused(
    trio: SentinelTrio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentinels that have not heard of a demotion name the old master: its own word counts."""
    await asyncio.to_thread(trio.holder, "")
    (replica,) = [node for node in trio.nodes if node not in trio.masters()]

    async def stale(_: Sentinels) -> tuple[str, int]:
        return "127.0.0.1", replica.port or 0

    monkeypatch.setattr(Sentinels, "master", stale)
    sentinels = Sentinels(
        parse_address(trio.url), timeout_s=2.0, opener=lambda url: connection_maker(url, timeout_s=2.0)
    )
    with pytest.raises(OSError, match="says that it is a slave"):
        await sentinels.open_connection()


@only_in_full
async def test_a_frozen_master_is_left_for_its_successor(trio: SentinelTrio, database: Database) -> None:
    """Also when but one sentinel is left to ask."""
    old = trio.holder("")
    assert await _port(database) == old.port
    # Two of three sentinels are frozen as well, once all know the new one: the one that is left is not most of them.
    os.kill(old.pid, signal.SIGSTOP)
    try:
        await wait_until(lambda: old not in trio.masters() and bool(trio.masters()), timeout_s=40)
        new = trio.holder("")
        await wait_until(lambda: _all_name(trio, new.port or 0), timeout_s=40)
        for sentinel in trio.sentinels[1:]:
            os.kill(sentinel.process.pid, signal.SIGSTOP)
        await _writes(database, "new")
        assert await _port(database) == new.port
    finally:
        os.kill(old.pid, signal.SIGCONT)
        for sentinel in trio.sentinels:
            os.kill(sentinel.process.pid, signal.SIGCONT)
    await wait_until(lambda: role(old) == "slave", timeout_s=40)


def _all_name(trio: SentinelTrio, port: int) -> bool:
    masters = [sentinel.call("MASTER", SERVICE) for sentinel in trio.sentinels]
    return all(isinstance(master, dict) and master["port"] == str(port) for master in masters)


async def test_connections_to_a_replaced_master_are_closed(trio: SentinelTrio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody demoted it and it answers: the look at the sentinels is what notices."""
    await asyncio.to_thread(trio.holder, "")
    named = [node for node in trio.nodes if node in trio.masters()]
    sentinels = Sentinels(
        parse_address(trio.url), timeout_s=2.0, opener=lambda url: connection_maker(url, timeout_s=2.0)
    )
    async with sentinels.open():
        connection = await sentinels.open_connection()
        assert connection.is_connected

        async def other(_: Sentinels) -> tuple[str, int]:
            return "127.0.0.1", (named[0].port or 0) + 1

        monkeypatch.setattr(Sentinels, "master", other)
        await wait_until(lambda: not connection.is_connected, timeout_s=10)


async def test_a_master_that_is_being_replaced_is_left_before_its_successor_stands(trio: SentinelTrio) -> None:
    """It lives, says that it is the master, and all sentinels name it still: what it is told now is lost."""
    old = await asyncio.to_thread(trio.holder, "")
    await asyncio.to_thread(trio.wait_whole)
    (replica,) = [node for node in trio.nodes if node is not old]
    sentinels = Sentinels(
        parse_address(trio.url), timeout_s=2.0, opener=lambda url: connection_maker(url, timeout_s=2.0)
    )
    async with sentinels.open():
        connection = await _opened(sentinels)
        # The order is given while nobody has missed the replica yet; it can't obey.
        leader = trio.sentinels[0]
        await wait_until(lambda: _has_good_replica(leader), timeout_s=40)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            leader.call("SET", SERVICE, "failover-timeout", "120000")  # a slow machine must not end it before its time
            leader.call("FAILOVER", SERVICE)
            await wait_until(lambda: not connection.is_connected, timeout_s=40)
            assert role(old) == "master"
            with pytest.raises(OSError, match="is being replaced"):
                await sentinels.open_connection()
        finally:
            os.kill(replica.pid, signal.SIGCONT)
            leader.call("SET", SERVICE, "failover-timeout", "5000")
        await wait_until(lambda: _opens_at(sentinels, replica.port or 0), timeout_s=40)
    await wait_until(lambda: role(old) == "slave", timeout_s=40)


async def _opened(sentinels: Sentinels) -> AbstractConnection:
    """Open a connection to the master as soon as there is one to be had."""
    found: list[AbstractConnection] = []

    async def opened() -> bool:
        with contextlib.suppress(OSError):
            found.append(await sentinels.open_connection())
        return bool(found)

    await wait_until(opened, timeout_s=40)
    return found[0]


async def _opens_at(sentinels: Sentinels, port: int) -> bool:
    with contextlib.suppress(OSError):
        await (await sentinels.open_connection()).disconnect(nowait=True)
        return (await sentinels.master())[1] == port
    return False


def _has_good_replica(sentinel: Sentinel) -> bool:
    (replica,) = sentinel.call("REPLICAS", SERVICE)
    return bool(replica["flags"] == "slave" and replica["master-link-status"] == "ok")


async def test_sentinels_that_do_not_know_the_name_are_no_start(trio: SentinelTrio) -> None:
    """One line, without passwords, that names the setting."""
    url = trio.url.replace("://", "://:secret@").replace(SERVICE, "another")
    async with Database(url, timeout_s=1.0).open() as database:
        with pytest.raises(StartError, match="ANDON_REDIS_URL") as refused:
            await database.wait_connected(2)
    assert "secret" not in str(refused.value)
