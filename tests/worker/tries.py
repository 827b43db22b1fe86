"""Stops tried by the hundred: a real worker's life, a real store, a real model server over HTTP.

The stop goes the way it goes in production: its script on another connection than the worker's, the published hint,
the pump, the closed socket. What is judged is what the model server saw, and what is in the log.
"""

import asyncio
import contextlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import msgspec

from andon import keys
from andon.database import Database
from andon.ids import ResponseId, tag_of
from andon.lease import Leases
from andon.replies import StopReceipt
from andon.rescue import Rescuer
from andon.settings import Settings
from andon.settlements import Shipper
from andon.sim.meter import Record
from andon.store import Store
from andon.trail import Trail
from tests.contract.jobs import log_of, submission
from tests.stack.waiting import wait_until
from worker.life import Life
from worker.shutdown import Shutdown
from worker.upstream.client import UpstreamClient
from worker.upstream.source import OpenAISource

# One chunk a millisecond: the pace at which, on CPython 3.11, lost cancels showed in two of three tries.
RATE = 1000
SIM = """
from andon.sim.server import SimOptions, run
run("127.0.0.1", 0, SimOptions(rate={rate}, ttft_s=0.0, tokens=10_000), announce=lambda line: print(line, flush=True))
"""


class Try(msgspec.Struct):
    """One stop: what the store answered, how long the log was right behind it, and the log in the end."""

    response_id: ResponseId
    receipt: StopReceipt
    length_at_mark: int
    log: list[dict[str, Any]]
    settlements: int


@contextlib.contextmanager
def sim_process() -> Iterator[str]:
    """Run the model server in a process of its own, so that it sees a close when it comes; give its base URL."""
    argv = [sys.executable, "-c", SIM.format(rate=RATE)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def worker(redis_url: str, base_url: str, settings: Settings) -> AsyncIterator[Shutdown]:
    """Live as a worker, in this process."""
    shutdown = Shutdown()
    async with (
        Database(redis_url, timeout_s=2.0).open() as database,
        Database(redis_url, timeout_s=2.0).open() as reader,
        UpstreamClient(max_connections=64, base_url=base_url, api_key="sk-none") as client,
        asyncio.TaskGroup() as group,
    ):
        await database.wait_connected(5)
        life = Life(
            database=database,
            reader=reader,
            source=OpenAISource(client, "responses"),
            settings=settings,
            shutdown=shutdown,
            rescuer=Rescuer(Store(database, settings), Leases(database, lease_s=settings.lease_s)),
            on_settled=Shipper(database).note,
            trail=Trail(Store(database, settings), process="w_test"),
        )
        living = group.create_task(life.run())
        try:
            yield shutdown
        finally:
            shutdown.request()
            shutdown.request()
            await living


async def try_stop(store: Store, number: int, chance: random.Random) -> Try:
    """Start a run, stop it a random moment after its first output, wait for its ending."""
    body = {"model": "sim", "input": "go", "metadata": {"sim_key": f"try-{number}"}}
    made = submission(session=f"s{number}", body=body)
    rid = made.response_id
    await store.submit(made)

    async def speaks() -> bool:
        return len(await store.log_slice(rid, 2, 4)) > 2

    await wait_until(speaks, timeout_s=10)
    await asyncio.sleep(chance.uniform(0, 0.03))  # the random moment: what is tried, not what is waited for
    stopping = asyncio.ensure_future(store.stop(rid, made.principal, by="client", reason=None))
    await asyncio.sleep(0)  # its script is called; the next call is its neighbour on the wire
    length_at_mark = store.database.call("LLEN", keys.log(rid))
    receipt = await stopping

    async def settled() -> bool:
        return (await store.progress(rid)).settled is not None

    await wait_until(settled, timeout_s=10)
    outbox = await store.database.call("XLEN", keys.outbox(tag_of(rid)))
    return Try(rid, receipt, await length_at_mark, await log_of(store, rid), outbox)


async def try_stops(redis_url: str, base_url: str, *, count: int, at_once: int, seed: int) -> list[Try]:
    """Try so many stops, several at a time."""
    chance = random.Random(seed)
    settings = Settings()
    numbers = iter(range(count))
    tries: list[Try] = []

    async def one_after_another(store: Store) -> None:
        for number in numbers:
            tries.append(await try_stop(store, number, chance))  # noqa: PERF401  each as it is done

    async with Database(redis_url, timeout_s=2.0).open() as database:
        await database.wait_connected(5)
        await database.call("FLUSHALL")
    async with (
        worker(redis_url, base_url, settings),
        Database(redis_url, timeout_s=2.0).open() as database,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(at_once):
            group.create_task(one_after_another(Store(database, settings)))
    return tries


def records(base_url: str) -> dict[str, Record]:
    """Read what the model server saw, by the key of the try."""
    reply = httpx2.get(f"{base_url}/meter", timeout=10)
    reply.raise_for_status()
    found = msgspec.convert(reply.json()["requests"], list[Record])
    return {record.key: record for record in found if record.key is not None}
