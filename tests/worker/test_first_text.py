"""What a run appends first: the first text waits for nothing, and what only opens waits a moment for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from andon.frames import decode
from andon.link import Call
from andon.pieces import Event, Piece
from andon.replies import Claimed
from andon.script import script
from andon.settings import Settings
from andon.store import Store
from tests.contract.fake import FakeDatabase
from tests.contract.jobs import submission, types_of
from tests.stack.waiting import wait_until
from tests.worker.fakes import WORKER
from tests.worker.sources import FINISH, REQUEST, FakeSource, text
from worker.scribe import Scribe

ITEM = Event("response.output_item.added", {"output_index": 0, "item": {"id": "msg_1", "type": "message"}})
PART = Event("response.content_part.added", {"item_id": "msg_1", "output_index": 0, "content_index": 0, "part": {}})
BEFORE = ["response.created", "response.in_progress"]


class AppendingDatabase(FakeDatabase):
    """Runs appends a turn later, and keeps the types of what each holds."""

    def __init__(self) -> None:
        super().__init__()
        self.timeout_s = 5.0
        self.appends: list[list[str]] = []

    def queue(self, call: Call) -> None:
        """Keep, and do it."""
        frames = [frame for frame in call.args if isinstance(frame, bytes) and frame.startswith(b'{"type":')]
        self.appends.append([decode(frame)["type"].removeprefix("response.") for frame in frames])
        replied = self.call("EVAL", script("append").without_flags(), *call.args[2:])
        asyncio.get_running_loop().call_soon(lambda: call.reply.set_result(replied.result()))


class Run:
    """A run, its store, and the source in the test's hand."""

    def __init__(self, store: Store, job: Claimed, appends: list[list[str]]) -> None:
        self.store = store
        self.appends = appends
        self.job = job
        self.source = FakeSource()
        self.scribe = Scribe(job, store=store, source=self.source, settings=store.settings, renew_every_s=60)

    def say(self, *pieces: Piece) -> None:
        """Have the model say this at once."""
        self.source.stream.put(*pieces)


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """A run that goes on; at its end the model ends."""
    async with running_one() as made:
        yield made


@asynccontextmanager
async def running_one() -> AsyncIterator[Run]:
    database = AppendingDatabase()
    store = Store(database, Settings())
    new = submission(body=REQUEST)
    await store.submit(new)
    job = await store.claim(new.response_id, WORKER)
    assert isinstance(job, Claimed)
    run = Run(store, job, database.appends)
    run.scribe.begin()
    task = asyncio.create_task(run.scribe.run())
    yield run
    run.say(FINISH)
    async with asyncio.timeout(15):
        await task


async def test_what_opens_goes_with_the_first_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers say it in writes of their own, just before: one append of both, where two would have the text wait."""
    monkeypatch.setattr("worker.scribe._OPENING_S", 60.0)
    run.say(ITEM)
    run.say(PART)
    run.say(text("a"))
    await wait_until(lambda: bool(run.appends), timeout_s=15)
    assert run.appends == [["output_item.added", "content_part.added", "output_text.delta"]]


async def test_what_opens_is_appended_soon_though_no_text_follows(run: Run) -> None:
    """And so is what opens later on: a model may think for long."""
    run.say(ITEM)
    await wait_until(lambda: run.appends == [["output_item.added"]], timeout_s=15)
    run.say(PART)
    await wait_until(lambda: run.appends[1:] == [["content_part.added"]], timeout_s=15)


async def test_an_end_that_comes_while_something_only_opens_takes_it_along() -> None:
    """Nothing of it is lost."""
    async with running_one() as run:
        run.say(ITEM, PART)
    types = await types_of(run.store, run.job.response_id)
    assert types == [*BEFORE, "response.output_item.added", "response.content_part.added", "response.completed"]


async def test_the_first_text_does_not_wait_for_an_ending_that_came_with_it() -> None:
    """It is logged, and published, before the ending is made; what is said once stays said once."""
    async with running_one() as run:
        run.say(ITEM, PART, text("all"), FINISH)
        await wait_until(lambda: bool(run.appends), timeout_s=15)
    assert run.appends == [["output_item.added", "content_part.added", "output_text.delta"]]
    types = await types_of(run.store, run.job.response_id)
    assert types[-2:] == ["response.output_text.delta", "response.completed"]
    assert len(types) == len(BEFORE) + 4
