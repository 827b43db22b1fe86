"""What whoever asked is told: how far the stop got, what is not known yet, and more when it is asked again."""

import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from os import kill
from typing import cast

import pytest

from andon import keys
from andon.audit import Asker, Door, Role
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.ids import ANONYMOUS, ResponseId
from andon.lifetime import background
from andon.replication import Replication
from andon.settings import Settings
from andon.store import Store
from andon.trail import Trail
from gateway.hub import Hub
from gateway.stops import Stops
from tests.contract.jobs import running
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_WAIT_S = 2.0


@pytest.mark.timeout(90)
async def test_a_stop_of_a_frozen_worker_is_answered_in_time_and_asking_again_tells_more(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """`done` comes after 2 s with nulls for what nobody knows; asked again once it is known, with the times."""
    prompt = Prompt(model="sim-mute")
    async with (
        own_stack(gateways=1, workers=1, ANDON_LEASE_S="30") as stack,
        stack.connect(0, on_stop="keep") as client,
    ):
        (worker,) = stack.workers
        response_id = await client.start(prompt.body)
        await stack.meter.opened(prompt.key)
        worker.freeze()
        try:
            asked_at = time.monotonic()
            await client.cancel(response_id=response_id, event_id="first")
            (accepted,) = (await client.event("response.cancel.accepted", event_id="first"))["stops"]
            (known,) = (await client.event("response.cancel.done", event_id="first"))["stops"]
            took_s = time.monotonic() - asked_at
            assert 0.9 * _WAIT_S < took_s < _WAIT_S + 1
            assert known["recorded"] == accepted["recorded"] > 0
            assert (known["acked"], known["upstream_closed"], known["settled"]) == (None, None, None)
            await client.cancel(response_id=response_id, event_id="again")
            (again,) = (await client.event("response.cancel.accepted", event_id="again"))["stops"]
            assert again["recorded"] == accepted["recorded"]
        finally:
            worker.thaw()
        (told,) = (await client.event("response.cancel.done", event_id="again"))["stops"]
        assert told["recorded"] <= told["acked"] <= told["upstream_closed"] <= told["settled"]
        assert (await client.ending(response_id))["response"]["status"] == "cancelled"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def primary() -> Iterator[EmbeddedValkey]:
    """Give a server that a replica can reach."""
    with EmbeddedValkey(port=_free_port(), config={"repl-diskless-sync-delay": "0"}) as server:
        yield server


@pytest.fixture
def replica() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@contextmanager
def _frozen(server: EmbeddedValkey) -> Iterator[None]:
    kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(server.pid, signal.SIGCONT)


@pytest.fixture
async def replication(primary: EmbeddedValkey, replica: EmbeddedValkey) -> AsyncIterator[Replication]:
    """Give what waits for a primary's one replica, which is in step."""
    async with Database(replica.url, timeout_s=2.0).open() as second:
        await second.call("REPLICAOF", "127.0.0.1", primary.port or 0)
    async with Database(primary.url, timeout_s=2.0).open() as database:
        replication = Replication(database.open_connection, timeout_s=6.0, wait_s=2.0)
        async with replication.open():
            await wait_until(lambda: _is_replicated(replication), timeout_s=15)
            # Online: it acknowledges what it is sent.
            await wait_until(lambda: _acknowledges(database), timeout_s=15)
            yield replication


@pytest.fixture
async def store(primary: EmbeddedValkey, replication: Replication) -> AsyncIterator[Store]:
    """Give a gateway's store before that primary."""
    async with Database(primary.url, timeout_s=2.0).open() as database:
        yield Store(database, Settings(), replication)


async def _is_replicated(replication: Replication) -> bool:
    return await replication.count() == 1


async def _acknowledges(database: Database) -> bool:
    return b"state=online" in await database.call("INFO", "replication")


async def test_a_stop_that_a_replica_has_says_when(store: Store) -> None:
    """Where Redis has a replica, the stop is answered after it has the mark."""
    receipt = await store.stop((await running(store)).response_id, ANONYMOUS, by="client", reason=None)
    assert receipt.recorded is not None
    assert isinstance(receipt.replicated, float)
    assert receipt.replicated >= receipt.recorded


async def test_a_stop_whose_replica_is_frozen_says_that_it_is_not_replicated(
    store: Store, replica: EmbeddedValkey
) -> None:
    """`replicated` is false after the time-out, and the stop is recorded all the same."""
    job = await running(store)
    with _frozen(replica):
        receipt = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
        assert receipt.recorded is not None
        assert receipt.replicated is False
    again = await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)
    assert again.recorded == receipt.recorded
    assert isinstance(again.replicated, float)


async def test_a_stop_whose_replicas_are_gone_says_that_it_is_not_replicated(
    store: Store, replication: Replication, replica: EmbeddedValkey
) -> None:
    """A master that came back alone is not one that never had a replica: false, at once, and not null."""
    replica.kill()
    await wait_until(lambda: _has_no_replica(replication), timeout_s=15)
    receipt = await store.stop((await running(store)).response_id, ANONYMOUS, by="client", reason=None)
    assert receipt.recorded is not None
    assert receipt.replicated is False


async def _has_no_replica(replication: Replication) -> bool:
    return await replication.count() == 0


async def test_a_stop_that_no_replica_had_is_asserted_after_its_ending_was_seen(
    store: Store, replica: EmbeddedValkey
) -> None:
    """A failover may forget the mark and the ending together: what would run again is marked again."""
    trail = Trail(store, process="gateway")
    stops = Stops(store, cast("Hub", None), trail, wait_s=1.0, on_settled=lambda _: None)
    rid = (await running(store)).response_id
    with _frozen(replica):
        (receipt,) = await stops.stop([rid], Asker(ANONYMOUS, Role.OWNER, Door.SOCKET), reason=None)
    assert receipt.replicated is False
    stops.saw_settled([rid])
    await store.database.call("HDEL", keys.job(rid), "stop_at", "stop_json")  # as if by a failover
    async with background(stops.assert_again()):
        await wait_until(lambda: _is_marked(store, rid), timeout_s=15)


async def _is_marked(store: Store, rid: ResponseId) -> bool:
    return bool(await store.database.call("HEXISTS", keys.job(rid), "stop_json"))
