"""Every order of crash: an operation writes hints, then a script; the process dies after its first k commands."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from andon import keys
from andon import sweep as sweeping
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, ResponseId, WorkerId, new_worker_id
from andon.lease import About, Leases
from andon.link import Argument, Call, fail
from andon.queue import Queue
from andon.replies import Claimed
from andon.response import Status
from andon.script import Script
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import WORKER, claim, log_of, running, settle, submission, submitted
from tests.reliability.shop import Shop
from tests.reliability.test_rescue import die
from tests.stack.waiting import wait_until

_ABOUT = About(host="h", pid=1, live=0, concurrency=1, draining=False)
_TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


class DyingDatabase(Database):
    """Sends so many commands, then none: as a process does that is killed between two writes."""

    def __init__(self, database: Database, commands: int) -> None:
        self._real = database
        self.timeout_s = database.timeout_s
        self.left = commands
        # Whether transactions are refused, as by a user who has no right to them: then all goes command by command.
        self.refuses_together = True

    def call(self, *args: Argument, timeout_s: float | None = None) -> "asyncio.Future[Any]":
        return self._real.call(*args, timeout_s=timeout_s) if self._lives() else self._died()

    def eval(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> "asyncio.Future[Any]":
        return self._real.eval(script, keys, args) if self._lives() else self._died()

    def together(self, commands: Sequence[tuple[Argument, ...]]) -> "asyncio.Future[list[Any] | None]":
        if not self.refuses_together:
            return self._real.together(commands) if self._lives() else self._died()
        refused: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        refused.set_result(None)
        return refused

    def queue(self, call: Call) -> None:
        if self._lives():
            self._real.queue(call)
        else:
            fail(call, "the process is dead")

    def go(self) -> None:
        self._real.go()

    def _lives(self) -> bool:
        self.left -= 1
        return self.left >= 0

    @staticmethod
    def _died() -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_exception(StoreUnavailable("the process is dead"))
        answer.exception()  # not every answer is looked at, as with the real one
        return answer


Operation = Callable[[Store, ResponseId | None, Claimed | None], Awaitable[object]]


async def _submit(store: Store, _: ResponseId | None, __: Claimed | None) -> None:
    await store.submit(submission())


async def _submit_in_lane(store: Store, _: ResponseId | None, __: Claimed | None) -> None:
    await store.submit(submission(lane="s/lane"))


async def _submit_together(store: Store, _: ResponseId | None, __: Claimed | None) -> None:
    assert isinstance(store.database, DyingDatabase)
    store.database.refuses_together = False
    await store.submit(submission(lane="s/lane"))


async def _claim(store: Store, waiting: ResponseId | None, _: Claimed | None) -> None:
    assert waiting is not None
    await store.claim(waiting, WORKER)


async def _begin_claim(store: Store, waiting: ResponseId | None, __: Claimed | None) -> None:
    assert waiting is not None
    told: list[Any] = []
    assert store.begin_claim(waiting, WORKER, told.append)
    await wait_until(lambda: told)


async def _stop(store: Store, _: ResponseId | None, job: Claimed | None) -> None:
    assert job is not None
    await store.stop(job.response_id, ANONYMOUS, by="client", reason=None)


async def _settle(store: Store, _: ResponseId | None, job: Claimed | None) -> None:
    assert job is not None
    await settle(store, job, 2, "text", status=Status.COMPLETED)


async def _requeue(store: Store, _: ResponseId | None, job: Claimed | None) -> None:
    assert job is not None
    await store.requeue(job)


async def _enqueue(store: Store, waiting: ResponseId | None, _: Claimed | None) -> None:
    assert waiting is not None
    await store.enqueue(waiting)


_OPERATIONS: dict[str, Operation] = {
    "submit": _submit,
    "submit_in_lane": _submit_in_lane,
    "submit_together": _submit_together,
    "claim": _claim,
    "begin_claim": _begin_claim,
    "stop": _stop,
    "settle": _settle,
    "requeue": _requeue,
    "enqueue": _enqueue,
}
_MOST_COMMANDS = 7


@pytest.mark.parametrize("after", range(_MOST_COMMANDS + 1))
@pytest.mark.parametrize("name", _OPERATIONS)
async def test_nothing_accepted_is_lost_and_nothing_half_made_is_left(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    """Whatever was written: the sweep and a living worker bring every job to one ending, and the hints to nothing."""
    monkeypatch.setattr(sweeping, "_LOST_AFTER_S", 0.0)
    monkeypatch.setattr(sweeping, "_GRACE_S", 0.0)
    queue = Queue(shop.database, shop.database, WORKER)
    await queue.adopt(idle_s=1)
    job = await running(shop.store, lane="s/lane")
    in_lane = await submitted(shop.store, lane="s/lane")
    alone = await submitted(shop.store)
    # The worker that will die has read the entries of both, and claimed the first.
    await queue.read(10, block_s=0.1)

    dying = Store(DyingDatabase(shop.database, after), Settings())
    with contextlib.suppress(StoreUnavailable):  # it is dead; what it wrote stays
        await _OPERATIONS[name](dying, alone, job)
    await die(shop)

    ended = await _recover(shop)
    assert {job.response_id, in_lane, alone} <= ended
    for rid in ended:
        events = await log_of(shop.store, rid)
        assert [event["type"] for event in events if event["type"] in _TERMINAL] == [events[-1]["type"]]
    await _assert_no_hints(shop)


async def _recover(shop: Shop) -> set[ResponseId]:
    """Let a living worker and the sweep go on until nothing is left to do; return all jobs, which must have ended."""
    living = new_worker_id()
    await Leases(shop.database, lease_s=60).renew(living, _ABOUT)
    queue = Queue(shop.database, shop.database, living)
    for _ in range(8):
        await shop.sweep().bury_the_dead()
        await shop.sweep().sweep_sessions()
        entries = [*await queue.read(100, block_s=0.001), *await queue.adopt(idle_s=0)]
        for entry in entries:
            claimed = await shop.store.claim(entry.response_id, living)
            if isinstance(claimed, Claimed):
                await settle(shop.store, claimed, claimed.next_number, "text")
            await shop.store.forget(living, entry.response_id)
            await queue.drop([entry])
    names = await shop.database.call("KEYS", "andon:*:job:*")
    found = {ResponseId(name.decode().rpartition(":")[2]) for name in names}
    assert {rid: (await shop.job(rid)).state for rid in found} == dict.fromkeys(found, "ended")
    return found


async def _assert_no_hints(shop: Shop) -> None:
    assert await shop.database.call("XLEN", keys.QUEUE) == 0
    for pattern in ("andon:*:live", "andon:*:lanes", "andon:*:jobs"):
        assert await shop.database.call("KEYS", pattern) == []
    assert await shop.database.call("ZSCORE", keys.WORKERS, WORKER) is None
    # Settled, so shipped: the sweep ships what a dead process left in an outbox.
    records = await shop.database.call("XRANGE", keys.SETTLEMENTS, "-", "+")
    jobs = await shop.database.call("KEYS", "andon:*:job:*")
    assert len({fields[1] for _, fields in records}) == len(jobs)


async def test_an_index_entry_whose_submit_may_follow_is_kept_for_a_grace(shop: Shop) -> None:
    """The index is written first: a sweep between it and the script must not drop it."""
    made = submission()
    dying = Store(DyingDatabase(shop.database, 1), Settings())
    with pytest.raises(StoreUnavailable):
        await dying.submit(made)
    await shop.sweep().sweep_sessions()
    assert await shop.database.call("ZCARD", keys.SESSIONS) == 1


async def test_the_first_command_of_a_claim_names_the_job_in_the_workers_set(shop: Shop) -> None:
    """A superset: a worker that dies right after its claim is found to own the job."""
    rid = await submitted(shop.store)
    await claim(shop.store, rid)
    assert await Leases(shop.database, lease_s=60).jobs(WorkerId(WORKER)) == [rid]
