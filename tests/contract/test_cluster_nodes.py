"""Three masters with a replica each: routing, resharding, failovers, pub/sub and WAIT, on real nodes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from andon import keys
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.errors import StartError, StoreUnavailable
from andon.ids import ANONYMOUS, WorkerId, new_worker_id
from andon.lease import Leases
from andon.link import Argument
from andon.settings import Settings
from andon.slots import slot_of, slot_of_command
from andon.store import Store
from andon.subscriber import Subscriptions
from tests.chaos.network import Network
from tests.chaos.proxy import Proxy
from tests.contract.jobs import deltas, log_of, running, submission
from tests.contract.test_keys import live_a_full_life
from tests.contract.test_lease import ABOUT
from tests.stack.cluster_of_three import ClusterOfThree
from tests.stack.ports import free_port
from tests.stack.servers import client_of
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
_PATIENCE_S = 40


@pytest.fixture(scope="module")
def nodes() -> Iterator[ClusterOfThree]:
    """Give a cluster that each test leaves whole; what is killed is started again."""
    made = ClusterOfThree()
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def database(nodes: ClusterOfThree) -> AsyncIterator[Database]:
    async with Database(nodes.url, timeout_s=2.0).open() as database:
        await database.wait_connected(10)
        await database.everywhere("FLUSHALL")
        yield database


async def _taken(call: Callable[[], Any]) -> None:
    """Repeat a command until it is answered: what a caller that repeats sees of a failover."""

    async def taken() -> bool:
        with contextlib.suppress(StoreUnavailable):
            await call()
            return True
        return False

    await wait_until(taken, timeout_s=_PATIENCE_S)


async def test_a_full_life_of_jobs_runs_on_three_nodes(database: Database) -> None:
    """Every key is where its slot is, on more than one node, and expires."""
    await live_a_full_life(Store(database, Settings()), database)
    found = await database.everywhere("KEYS", "*")
    assert sum(bool(names) for names in found) > 1
    for name in [name for names in found for name in names]:
        assert await database.call("PTTL", name) > 0


async def test_the_server_sees_the_keys_where_they_are_looked_for(database: Database) -> None:
    """Each command that is used here is sent where the server says its keys are."""
    commands: list[tuple[Argument, ...]] = [
        ("EVALSHA", "0" * 40, 2, "{a}1", "{a}2", "argument"),
        ("EVAL", "return 1", 1, "key", "argument"),
        ("XGROUP", "CREATE", "key", "group", "0", "MKSTREAM"),
        ("XREADGROUP", "GROUP", "group", "me", "COUNT", 1, "BLOCK", 1, "STREAMS", "key", ">"),
        ("XAUTOCLAIM", "key", "group", "me", 1, "0", "COUNT", 1),
        ("XADD", "key", "MINID", "~", 1, "*", "field", "value"),
        ("ZSCAN", "key", 0, "COUNT", 1),
        ("SET", "key", 1, "NX", "GET", "PX", 1),
    ]
    for command in commands:
        first, *_ = await database.call("COMMAND", "GETKEYS", *command)
        assert slot_of_command(command) == slot_of(first)


async def test_replies_come_to_their_calls_over_all_nodes(database: Database) -> None:
    """A thousand keys, a thousand answers."""
    await asyncio.gather(*(database.call("SET", f"key-{n}", n, "PX", 60_000) for n in range(1000)))
    replies = await asyncio.gather(*(database.call("GET", f"key-{n}") for n in range(1000)))
    assert replies == [str(n).encode() for n in range(1000)]


async def test_a_forgotten_script_is_sent_in_full(database: Database) -> None:
    """On each node for itself."""
    await database.everywhere("SCRIPT", "FLUSH")
    await live_a_full_life(Store(database, Settings()), database)


async def test_while_a_slot_moves_nothing_is_lost_or_done_twice(nodes: ClusterOfThree, database: Database) -> None:
    """MOVED and ASK are followed: every INCR is answered, and each counted once."""
    counting = True
    answered = 0

    async def count() -> None:
        nonlocal answered
        while counting:
            await database.call("INCR", "{moving}count")
            answered += 1

    tasks = [asyncio.ensure_future(count()) for _ in range(10)]
    for _ in range(3):
        before = answered
        owner = nodes.holder("{moving}count")
        new = await asyncio.to_thread(nodes.move_slot, "{moving}count")
        assert new is not owner
        await wait_until(lambda before=before: answered > before + 100)  # type: ignore[misc]
    counting = False
    await asyncio.gather(*tasks)
    assert int(await database.call("GET", "{moving}count")) == answered


async def test_a_script_whose_keys_are_on_their_way_runs_when_they_have_arrived(
    nodes: ClusterOfThree, database: Database
) -> None:
    """ASK leads to where the keys are; TRYAGAIN is waited out, within the deadline."""
    store = Store(database, Settings())
    job = await running(store)
    appended: list[Any] = []

    def append() -> None:
        # The keys have left, the slot has not: both of this script's are there, and not all of the next one's.
        future = asyncio.run_coroutine_threadsafe(store.append(job, 2, deltas(job, 2, "a"), renew=True), loop)
        appended.append(future.result(5))
        appended.append(
            asyncio.run_coroutine_threadsafe(store.stop(job.response_id, None, by="client", reason=None), loop)
        )

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(nodes.move_slot, keys.job(job.response_id), while_moving=append)
    assert appended[0].tag == "ok"
    receipt = await asyncio.wrap_future(appended[1])
    assert receipt.recorded is not None
    assert len(await log_of(store, job.response_id)) == 3


async def test_after_a_failover_commands_go_to_the_new_masters(nodes: ClusterOfThree, database: Database) -> None:
    """Ordered on all three at once: whoever repeats gets through, and what was written is there."""
    for number in range(30):
        await database.call("SET", f"key-{number}", number, "PX", 60_000)
    await asyncio.to_thread(nodes.failover)
    for number in range(30):
        await _taken(lambda number=number: database.call("INCR", f"key-{number}"))  # type: ignore[misc]
        assert int(await database.call("GET", f"key-{number}")) >= number + 1


@pytest.mark.parametrize("sharded", [True, False])
async def test_a_subscriber_hears_again_after_each_failover(
    nodes: ClusterOfThree, database: Database, *, sharded: bool
) -> None:
    """A master is killed: its channels are confirmed anew elsewhere, and whoever listens is told."""
    heard: list[bytes] = []
    confirmed: list[str] = []
    publish = "SPUBLISH" if sharded else "PUBLISH"
    subscriber = _subscriber(database, heard, confirmed, sharded=sharded)
    async with subscriber.open():
        channels = [f"{{{number}}}events" for number in range(20)]
        await asyncio.gather(*map(subscriber.subscribe, channels))
        assert sorted(confirmed) == sorted(channels)
        victim = nodes.holder(channels[0])
        if sharded:
            await asyncio.to_thread(victim.kill)
        else:
            for node in nodes.masters():
                with client_of(node) as client:
                    client.client_kill_filter(_type="pubsub")
        await wait_until(lambda: confirmed.count(channels[0]) >= 2, timeout_s=_PATIENCE_S)
        await wait_until(lambda: not subscriber.deaf, timeout_s=_PATIENCE_S)
        for channel in channels:
            await _taken(lambda channel=channel: database.call(publish, channel, channel))  # type: ignore[misc]
        await wait_until(lambda: {channel.encode() for channel in channels} <= set(heard), timeout_s=_PATIENCE_S)
    if sharded:
        await asyncio.to_thread(victim.restart, keep_data=False)
        await asyncio.to_thread(nodes.wait_whole)


def _subscriber(database: Database, heard: list[bytes], confirmed: list[str], *, sharded: bool) -> Subscriptions:
    return database.subscriber(
        sharded=sharded,
        timeout_s=2.0,
        ping_every_s=0.5,
        on_message=lambda _, message: heard.append(message),
        on_confirmed=confirmed.append,
    )


async def test_a_channel_whose_slot_moves_is_confirmed_at_its_new_node(
    nodes: ClusterOfThree, database: Database
) -> None:
    """The old node drops it; until the new one has confirmed, the subscriber says that it is deaf."""
    heard: list[bytes] = []
    confirmed: list[str] = []
    subscriber = _subscriber(database, heard, confirmed, sharded=True)
    async with subscriber.open():
        await asyncio.gather(*map(subscriber.subscribe, ("{moved}events", "{stays}events")))
        for times in (2, 3):
            await asyncio.to_thread(nodes.move_slot, "{moved}events")
            await wait_until(lambda times=times: confirmed.count("{moved}events") == times)  # type: ignore[misc]
            assert not subscriber.deaf
            await database.call("SPUBLISH", "{moved}events", times)
            await wait_until(partial(heard.__contains__, str(times).encode()))
        assert confirmed.count("{stays}events") == 1
        subscriber.unsubscribe("{moved}events")
        await wait_until(lambda: _nobody_hears(database, "{moved}events"))


async def _nobody_hears(database: Database, channel: str) -> bool:
    return bool(await database.call("SPUBLISH", channel, "anybody?") == 0)


async def test_a_stop_waits_for_a_replica_of_its_own_node(nodes: ClusterOfThree, database: Database) -> None:
    """WAIT goes where the mark went; a slot that has just moved costs the time, never the stop."""
    replication = database.replication(timeout_s=2.0, wait_s=1.0)
    store = Store(database, Settings(), replication)
    async with replication.open():
        for _ in range(6):
            job = await running(store)
            await wait_until(partial(_serves, store, job.response_id), timeout_s=_PATIENCE_S)
            receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
            assert isinstance(receipt.replicated, float)
        moved = await running(store)
        await asyncio.to_thread(nodes.move_slot, keys.job(moved.response_id))
        receipt = await store.stop(moved.response_id, ANONYMOUS, by="client", reason=None)
        assert receipt.recorded is not None


def _serves(store: Store, rid: Any) -> bool:
    replication = store._replication  # noqa: SLF001  which of the two ways a stop takes shows nowhere else
    return replication is not None and replication.serves(keys.job(rid))


async def test_hints_are_written_before_the_script_that_relies_on_them(
    nodes: ClusterOfThree, database: Database
) -> None:
    """The queue's node is frozen: the job is refused, and its own node never hears of it."""
    wanted = submission()
    while nodes.holder(keys.job(wanted.response_id)) is nodes.holder(keys.QUEUE):
        wanted = submission(session=wanted.session + "x")
    impatient = Store(database, Settings())
    node = nodes.holder(keys.QUEUE)
    os.kill(node.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await impatient.submit(wanted)
        assert not await database.call("EXISTS", keys.job(wanted.response_id))
    finally:
        os.kill(node.pid, signal.SIGCONT)
    await asyncio.to_thread(nodes.wait_whole)


async def test_a_lease_stands_without_the_node_of_the_index(nodes: ClusterOfThree) -> None:
    """All workers are in one index, on one node: whoever is in it outlives an outage of that; nobody else begins."""
    index = nodes.holder(keys.WORKERS)
    worker_id = new_worker_id()
    while nodes.holder(keys.lease(worker_id)) is index:
        worker_id = new_worker_id()
    async with Network(nodes).open() as network, Database(network.url, timeout_s=1.0).open() as database:
        leases = Leases(database, lease_s=60)
        await wait_until(partial(_renews, leases, worker_id), timeout_s=_PATIENCE_S)
        network.befall(Proxy.refuse, before=[index.port or 0])
        for _ in range(3):
            await wait_until(partial(_renews, leases, worker_id), timeout_s=_PATIENCE_S)
        assert not await _renews(leases, new_worker_id())
        network.heal()
        await wait_until(partial(_renews, leases, new_worker_id()), timeout_s=_PATIENCE_S)


async def _renews(leases: Leases, worker_id: WorkerId) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return await leases.renew(worker_id, ABOUT)
    return False


async def test_a_server_that_is_no_cluster_is_no_start() -> None:
    """One line that says why."""
    with EmbeddedValkey(port=free_port()) as single:
        async with Database(f"redis+cluster://127.0.0.1:{single.port}", timeout_s=1.0).open() as database:
            with pytest.raises(StartError, match=r"ANDON_REDIS_URL.*cluster support disabled"):
                await database.wait_connected(2)


async def test_calls_that_are_open_when_the_cluster_closes_fail() -> None:
    """Nobody waits for a link that is gone."""
    database = Database("redis+cluster://127.0.0.1:1", timeout_s=30.0)
    async with database.open():
        call = database.call("GET", "key")
    with pytest.raises(StoreUnavailable, match="closed"):
        await call
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.call("GET", "key")


async def test_a_call_without_a_cluster_fails_at_its_deadline() -> None:
    """No call waits longer than its deadline, map or not."""
    async with Database("redis+cluster://127.0.0.1:1", timeout_s=0.4).open() as database:
        with pytest.raises(StoreUnavailable):
            await database.call("GET", "key")
