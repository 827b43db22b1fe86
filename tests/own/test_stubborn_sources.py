"""Functions that swallow their cancellation: settled at once, reported, left behind, and not for ever."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from andon.database import Database
from andon.ids import WorkerId
from andon.lease import About, Leases
from tests.own.conftest import Act, own_env
from tests.stack.process import Process
from tests.stack.shape import check_responses
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until
from worker.service import EXIT_CODE_WORN_OUT
from worker.upstream.own.source import MOST_LEFT_BEHIND

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Name a directory for the functions of one test's own stack."""
    return tmp_path / "notes"


async def _stop_stubborn(stack: Stack, notes: Path) -> dict[str, Any]:
    """Create one that will not be stopped, stop it, and return its response as it ended."""
    act = Act(notes, "stubborn")
    async with stack.connect() as client:
        response_id = await client.start(act.body)
        await client.text_begun(response_id, deltas=1)
        await client.cancel(response_id=response_id)
        ending = await client.ending(response_id)
        done = await client.event("response.cancel.done")
        check_responses(client)
    await act.note("swallowed")
    (told,) = done["stops"]
    assert told["settled"] is not None
    assert told["upstream_closed"] is None
    response: dict[str, Any] = ending["response"]
    return response


async def _about(stack: Stack, worker: Process) -> About:
    """Read what a worker says of itself."""
    database = Database(stack.servers.url, timeout_s=5.0)
    async with database.open():
        worker_id = WorkerId(worker.log_events("worker.ready")[-1]["worker"])
        about = await Leases(database, lease_s=20.0).about(worker_id)
    assert about is not None
    return about


async def test_one_that_swallows_its_stop_is_settled_reported_and_left_behind(own_stack: OwnStack, notes: Path) -> None:
    """Its response ends cancelled, honest about what was not closed; the log and the worker's own words tell of it."""
    async with own_stack(gateways=1, ANDON_LEASE_S="4", **own_env(notes)) as stack:
        (worker,) = stack.workers
        response = await _stop_stubborn(stack, notes)
        assert response["status"] == "cancelled"
        assert response["output"][0]["content"][0]["text"] == "begun"
        assert response["stop"]["upstream_closed_at"] is None
        (told,) = worker.log_events("source.left_behind")
        assert told["level"] == "warning"
        assert told["source"] == "tests.own.functions:answer"
        about = await _about(stack, worker)
        while about.left_behind != 1:  # told with the next beat; the test's time limit is the deadline
            about = await _about(stack, worker)
        async with stack.connect() as client:  # the others go on
            response_id = await client.start(Act(notes, "echo").body)
            assert (await client.ending(response_id))["response"]["status"] == "completed"
        (notes / "release").touch()
        await wait_until(lambda: worker.log_events("source.ended_late"), what="its late end is logged")


async def test_a_worker_that_left_one_behind_ends_all_the_same(own_stack: OwnStack, notes: Path) -> None:
    """SIGTERM is answered with exit code 0, though the event loop has a task that will not end."""
    async with own_stack(gateways=1, **own_env(notes)) as stack:
        await _stop_stubborn(stack, notes)
        assert await stack.workers[0].stop() == 0


async def test_a_worker_with_too_many_gives_way_to_a_fresh_one(own_stack: OwnStack, notes: Path) -> None:
    """Above the bound it drains and ends with a code of its own; a worker that takes its place answers."""
    async with own_stack(gateways=1, ANDON_DRAIN_S="5", **own_env(notes)) as stack:
        stack.expect_log("source.worn_out")
        async with stack.connect(on_stop="keep", session="stubborn") as client:
            ids = []
            for lane in range(MOST_LEFT_BEHIND + 1):
                ids.append(await client.start(Act(notes, "stubborn").body, stream_id=f"lane-{lane}"))
                await client.text_begun(ids[-1], deltas=1)
            await client.cancel()
            for response_id in ids:
                assert (await client.ending(response_id))["response"]["status"] == "cancelled"
            assert await stack.workers[0].ended(30) == EXIT_CODE_WORN_OUT
            await stack.start_worker()
            response_id = await client.start(Act(notes, "echo").body)
            assert (await client.ending(response_id))["response"]["status"] == "completed"
