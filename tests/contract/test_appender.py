import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, cast

import hiredis
import pytest

from andon.appender import Appender
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.errors import StoreUnavailable
from andon.link import Call
from andon.replies import Claimed, Outcome, Written, outcome_of
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import deltas, log_of, running
from tests.contract.strangers import fenced_variants
from tests.stack.waiting import wait_until


class Told:
    """What an appender of a job told, in order."""

    def __init__(self, store: Store, job: Claimed) -> None:
        self.replies: list[Any] = []
        self.appender = store.appender(job, self.replies.append)

    def send(self, first: int, frames: list[bytes], *, renew: bool = False) -> None:
        self.appender.send(first, frames, asyncio.get_running_loop().time(), renew=renew)

    async def reply(self) -> Any:
        await wait_until(lambda: not self.appender.is_under_way)
        return self.replies[-1]

    async def append(self, first: int, frames: list[bytes], *, renew: bool = False) -> Outcome:
        self.send(first, frames, renew=renew)
        return outcome_of(await self.reply())


class Recording:
    """Takes calls, and answers none."""

    timeout_s = 1.0

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.queue: Callable[[Call], None] = self.calls.append


@pytest.mark.parametrize("text", ["a", "", "naïve ☃", "x" * 200_000], ids=["a", "nothing", "unicode", "much"])
async def test_what_is_packed_ahead_is_what_the_packer_would_send(text: str) -> None:
    """The constant part is packed once a run; the wire has the very command that the plain version sends."""
    database = Recording()
    constant = ("andon:{t}:job:resp_t", "andon:{t}:log:resp_t", "resp_t", "w_1", 7, "andon:{t}:events")
    appender = Appender(cast("Database", database), constant, 60_000, lambda _: None)
    for number in (2, 10, 123_456):
        appender.send(number, [b'{"delta":"%b"}' % text.encode()], 0.0, renew=False)
        call = database.calls[-1]
        assert call.wire == hiredis.pack_command(cast("Any", call.args))
        assert call.args[9:11] == (number, 0)


async def test_an_appended_frame_is_in_the_log_as_by_the_plain_version(real_store: Store) -> None:
    """One frame, several, and one that renews the keys: the same log, the same outcome."""
    job = await running(real_store)
    told = Told(real_store, job)
    frames = deltas(job, 2, "one", "two", "three", "four")
    assert await told.append(2, frames[:1]) == Outcome(Written.OK, length=3)
    assert await told.append(3, frames[1:3]) == Outcome(Written.OK, length=5)
    assert await told.append(5, frames[3:], renew=True) == Outcome(Written.OK, length=6)
    assert await real_store.log_slice(job.response_id, 2, -1) == frames
    assert await told.append(5, frames[3:]) == await real_store.append(job, 5, frames[3:], renew=False)
    assert await told.append(9, deltas(job, 9, "far")) == Outcome(Written.GAP, length=6)


@pytest.mark.parametrize("variant", ["worker", "generation"])
async def test_an_append_of_a_stranger_is_fenced(real_store: Store, variant: str) -> None:
    """Who does not own the job writes nothing, packed ahead or not."""
    job = await running(real_store)
    stranger = fenced_variants(job)[variant]
    assert await Told(real_store, stranger).append(2, deltas(job, 2, "a")) == Outcome(Written.FENCED)
    assert len(await log_of(real_store, job.response_id)) == 2


async def test_an_append_that_meets_a_mark_is_told_of_the_stop(real_store: Store) -> None:
    """The reply to the next append carries a stop."""
    job = await running(real_store)
    told = Told(real_store, job)
    await told.append(2, deltas(job, 2, "a"))
    await real_store.stop(job.response_id, None, by="client", reason="enough")
    outcome = await told.append(3, deltas(job, 3, "b"))
    assert outcome.tag is Written.STOPPED
    assert outcome.stop is not None
    assert len(await log_of(real_store, job.response_id)) == 3


async def test_a_forgotten_script_is_sent_in_full(real_store: Store) -> None:
    """A server that was restarted, or flushed, knows no script: the append runs all the same, once."""
    job = await running(real_store)
    told = Told(real_store, job)
    await real_store.database.everywhere("SCRIPT", "FLUSH")
    assert await told.append(2, deltas(job, 2, "a")) == Outcome(Written.OK, length=3)
    assert len(told.replies) == 1


async def test_a_lost_reply_is_told_as_unavailable_and_the_next_append_goes_on() -> None:
    """Nobody knows whether it ran: whoever sent it sends it again, and learns that it is in the log, or writes it."""
    with EmbeddedValkey() as server:
        async with Database(server.url, timeout_s=0.5).open() as database:
            await database.wait_connected(15)
            store = Store(database, Settings())
            job = await running(store)
            told = Told(store, job)
            frames = deltas(job, 2, "a")
            os.kill(server.pid, signal.SIGSTOP)
            try:
                told.send(2, frames)
                assert isinstance(await told.reply(), StoreUnavailable)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await wait_until(lambda: database.connected)
            assert (await told.append(2, frames)).length == 3
            assert len(told.replies) == 2


async def test_what_is_forgotten_is_told_nothing(real_store: Store) -> None:
    """The run is over: what its last append came to is nobody's business."""
    job = await running(real_store)
    told = Told(real_store, job)
    told.send(2, deltas(job, 2, "a"))
    told.appender.forget()
    await real_store.length(job.response_id)
    assert told.replies == []
