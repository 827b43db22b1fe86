"""Faults of workers, of the queue and of gateways' clocks, written into Redis as those processes would."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from andon import keys
from andon.database import Database
from andon.doctor.finding import Verdict
from andon.embedded import EmbeddedValkey
from andon.frames import encode
from andon.gateways import TTL_MS, AboutGateway
from andon.ids import WorkerId, new_gateway_id, new_worker_id
from andon.lease import About, Leases
from tests.doctor.clinic import Findings, examined
from tests.stack.servers import client_of

pytestmark = pytest.mark.timeout(300)  # several looks each, on a machine that may be starved

Start = Callable[..., EmbeddedValkey]
ABOUT = About(host="there", pid=7, live=0, concurrency=10, draining=False)


@contextlib.asynccontextmanager
async def leased(server: EmbeddedValkey, *abouts: About, lease_s: float = 60.0) -> AsyncIterator[list[WorkerId]]:
    """Hold leases, and nothing else, for the length of a block."""
    database = Database(server.url, timeout_s=15.0)
    async with database.open():
        leases, ids = Leases(database, lease_s=lease_s), [new_worker_id() for _ in abouts]
        for worker_id, about in zip(ids, abouts, strict=True):
            await leases.renew(worker_id, about)
        yield ids


async def asked(server: EmbeddedValkey, *, lease_s: float = 60.0) -> Findings:
    return await examined({"ANDON_REDIS_URL": server.url, "ANDON_LEASE_S": f"{lease_s:g}"})


def listening(server: EmbeddedValkey, *ids: WorkerId) -> contextlib.ExitStack:
    """Listen on these workers' stop channels."""
    stack = contextlib.ExitStack()
    client = stack.enter_context(client_of(server))
    pubsub = stack.enter_context(contextlib.closing(client.pubsub()))
    pubsub.subscribe(*map(keys.stop_channel, ids))
    for _ in ids:
        assert pubsub.get_message(timeout=15.0)["type"] == "subscribe"
    return stack


async def test_no_worker(redis: Start) -> None:
    """Creates would wait for nobody."""
    assert "start workers" in (await asked(redis())).bad("workers")


async def test_a_worker_that_hears_and_has_room_is_well(redis: Start) -> None:
    """The same lease, its channel heard: nothing is told."""
    server = redis()
    async with leased(server, ABOUT) as ids:
        with listening(server, *ids):
            (finding,) = (await asked(server)).of("workers")
    assert (finding.verdict, finding.found) == (Verdict.OK, "1 live, 0 streams of 10")


async def test_a_worker_that_is_deaf(redis: Start) -> None:
    """It holds a lease, and nobody listens on its channel; the one that hears is not accused."""
    server = redis()
    async with leased(server, ABOUT, ABOUT) as (well, deaf):
        with listening(server, well):
            told = (await asked(server)).bad("workers")
    assert deaf in told
    assert well not in told
    assert "does not hear stops" in told


@pytest.mark.parametrize("lease_s", [20.0, 300.0])
async def test_a_worker_with_another_lease(redis: Start, lease_s: float) -> None:
    """One that others would hold for dead too soon, or too late."""
    server = redis()
    async with leased(server, ABOUT, lease_s=lease_s) as ids:
        with listening(server, *ids):
            told = (await asked(server)).bad("workers", Verdict.WARN)
    assert "the same andon_lease_s everywhere" in told


async def test_workers_without_room(redis: Start) -> None:
    """All full, or all on their way out."""
    server = redis()
    async with leased(server, About("there", 7, 10, 10, draining=False)) as ids:
        with listening(server, *ids):
            assert "all of them are full" in (await asked(server)).bad("workers", Verdict.WARN)
    server = redis()
    async with leased(server, About("there", 7, 1, 10, draining=True)) as ids:
        with listening(server, *ids):
            assert "all of them drain" in (await asked(server)).bad("workers")


async def test_a_worker_that_died_with_its_streams(redis: Start) -> None:
    """Its tombstone is told of, and where it was."""
    server = redis()
    async with leased(server, About("there", 7, 3, 10, draining=False)) as (worker_id,):
        database = Database(server.url, timeout_s=15.0)
        async with database.open():
            await Leases(database, lease_s=60.0).bury(worker_id, by_itself=True)
        found = await asked(server)
    assert "died, with streams" in found.bad("workers", Verdict.WARN)
    assert "there/7" in found.bad("workers", Verdict.WARN)
    assert "no worker lives" in found.bad("workers")


@pytest.mark.parametrize(("waits_s", "verdict"), [(30, Verdict.WARN), (280, Verdict.FAIL)])
async def test_a_job_that_waits_for_long(redis: Start, waits_s: int, verdict: Verdict) -> None:
    """First it is slow; then it is about to fail."""
    server = redis()
    with client_of(server) as client:
        client.xadd(keys.QUEUE, {"job": "resp_x"}, id=f"{int((time.time() - waits_s) * 1000)}-0")
    told = (await asked(server)).bad("queue", verdict)
    assert "1 wait for a worker" in told
    assert "add workers" in told


async def test_a_gateway_whose_clock_is_wrong(redis: Start) -> None:
    """Told by what it writes and when, so the doctor's own clock does not matter; one that is right is not accused."""
    server = redis()
    for host, ahead_s in (("right", 0), ("wrong", -30)):
        at = time.time()
        about = AboutGateway(
            id=new_gateway_id(), host=host, pid=7, sockets=0, draining=False, since=at - 100, at=at + ahead_s
        )
        with client_of(server) as client:
            client.zadd(keys.GATEWAYS, {about.id: int(at)})
            client.set(keys.gateway(about.id), encode(about), px=TTL_MS)
    told = (await asked(server)).bad("clocks")
    assert "gateway wrong/7" in told
    assert "behind redis'" in told
    assert "right/7" not in told
