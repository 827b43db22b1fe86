"""Leaks: thousands of starts and stops on one worker leave nothing behind."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import psutil
import pytest

from andon.database import Database
from andon.lease import About, Leases
from tests.depth import FULL
from tests.stack.client import Client
from tests.stack.process import Process
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

ROUNDS: Final = 200 if FULL else 8
_LANES: Final = 25
# Measured: the resident set levels off after some 2,000 starts, most of it after 1,000.
_WARM_UP: Final = 40 if FULL else 8
# What an allocator may keep: after a full warm-up, 8 MiB, so that a leak of 2 KiB a start is seen (10 MiB). The slice
# measures while the allocator still warms up (3 to 9 MiB were seen), so it finds leaks of 50 KiB a start and no less.
_MOST_GROWTH_BYTES: Final = (8 if FULL else 24) * 1024 * 1024


async def _start_and_stop(client: Client) -> None:
    """Start a stream in each lane and stop them: half before their first token, half in the middle."""
    known = len(client.response_ids())
    for lane in range(_LANES):
        prompt = Prompt(tokens=100_000, rate=200, ttft_s=0.0 if lane % 2 else 30.0)
        await client.create(prompt.body, stream_id=f"lane-{lane}")
    ids = await _created(client, known)
    for lane, response_id in enumerate(ids):
        if lane % 2:
            await client.text_begun(response_id, deltas=1)
    for response_id in ids:
        await client.cancel(response_id=response_id)
    for response_id in ids:
        assert (await client.ending(response_id))["response"]["status"] == "cancelled"
    # What was seen is looked through at each wait.
    client.events.clear()
    client.frames.clear()


async def _created(client: Client, known: int) -> list[str]:
    await client.until(lambda _: len(client.response_ids()) == known + _LANES)
    lanes = {e["stream_id"]: e["response_id"] for e in client.events if e["type"] == "response.created"}
    return [lanes[f"lane-{lane}"] for lane in range(_LANES)]


def _sockets(worker: Process) -> int:
    return len(psutil.Process(worker.pid).net_connections("all"))


def _memory(worker: Process) -> int:
    return int(psutil.Process(worker.pid).memory_info().rss)


@pytest.mark.timeout(300)
async def test_starts_and_stops_leave_no_socket_task_key_or_memory(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """After a warm-up, and once all short times to live are over, the worker and Redis are as they were."""
    short = {
        "ANDON_ABANDON_S": "2",
        "ANDON_LOG_TTL_S": "1",
        "ANDON_SESSION_TTL_S": "1",
        "ANDON_QUEUE_TTL_S": "1",
        # A starved machine takes seconds to start the lanes of one round.
        "ANDON_MAX_RUN_S": "10",
        # The worker says at each beat, four times a lease, how many tasks it has.
        "ANDON_LEASE_S": "4",
    }
    async with own_stack(gateways=1, workers=1, ANDON_LOG_LEVEL="info", **short) as stack:
        (worker,) = stack.workers
        async with Database(stack.valkey.url, timeout_s=2.0).open() as server:
            async with stack.connect(0, on_stop="keep") as client:
                for _ in range(_WARM_UP):
                    await _start_and_stop(client)
                await wait_until(lambda: _is_idle(server), timeout_s=10)
                sockets, memory, tasks = _sockets(worker), _memory(worker), await _tasks(server)
                for _ in range(ROUNDS):
                    await _start_and_stop(client)
                assert _memory(worker) - memory < _MOST_GROWTH_BYTES
                await wait_until(lambda: _sockets(worker) <= sockets)
                await wait_until(lambda: _has_tasks(server, tasks), timeout_s=10)
            assert (await stack.meter.read()).open == 0
            await wait_until(lambda: _is_empty(server), timeout_s=40)


async def _about(server: Database) -> About:
    leases = Leases(server, lease_s=4)
    (worker_id,) = await leases.workers()
    about = await leases.about(worker_id)
    assert about is not None
    return about


async def _is_idle(server: Database) -> bool:
    return (await _about(server)).live == 0


async def _tasks(server: Database) -> int:
    return (await _about(server)).tasks


async def _has_tasks(server: Database, most: int) -> bool:
    about = await _about(server)
    return about.live == 0 and about.tasks <= most


async def _is_empty(server: Database) -> bool:
    """Tell whether only what belongs to no response is left."""
    names = {name.decode() for name in await server.call("KEYS", "*")}
    lasting = {"andon:queue", "andon:workers", "andon:sessions", "andon:settlements", "andon:audit", "andon:gateways"}
    return not {name for name in names - lasting if not name.endswith((":lease", ":gateway")) and ":turn:" not in name}
