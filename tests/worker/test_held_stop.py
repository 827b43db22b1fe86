"""A stop whose upstream is closed and whose rest waits for its time: whatever comes first, that is done, and once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from andon import tracing
from andon.replies import Claimed
from andon.response import Stop
from andon.settings import Settings
from andon.store import Store
from andon.tracing import NO_TRACE, Attributes, Beginning, SpanName, TraceContext
from tests.contract.fake import FakeDatabase
from tests.contract.jobs import submission
from tests.stack.waiting import wait_until
from tests.worker.fakes import WORKER
from tests.worker.sources import REQUEST, FakeSource, FakeStream
from worker.scribe import Scribe
from worker.verdict import Loss

STOP = Stop("client", None, 1.5)


class FakeSpan:
    """A span that counts its ends."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends = 0

    @property
    def context(self) -> TraceContext:
        """Be nobody's parent."""
        return NO_TRACE

    def set(self, attributes: Attributes) -> None:
        """Forget them."""

    def fail(self, error_type: str) -> None:
        """Forget it."""

    def end(self, at: float | None = None) -> None:
        """Count it."""
        del at
        self.ends += 1

    def active(self) -> AbstractContextManager[None]:
        """Be nothing."""
        return nullcontext()


class FakeTracing:
    """Keeps the spans that were begun."""

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []

    def start(self, beginning: Beginning) -> FakeSpan:
        """Begin one."""
        self.spans.append(FakeSpan(beginning.name))
        return self.spans[-1]


class Held:
    """A run in the midst of a stop, and what waits for its time."""

    def __init__(self, scribe: Scribe, rest: list[Callable[[], None]], spans: list[FakeSpan]) -> None:
        self.scribe = scribe
        self.spans = spans
        self._rest = rest

    def come_to_rest(self) -> None:
        """Let the time come."""
        (rest,) = self._rest
        rest()

    def obeyed(self) -> list[FakeSpan]:
        """Return the spans of the stop."""
        return [span for span in self.spans if span.name == SpanName.OBEY]


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    """Stop a run that has an open stream; the run is over at the end, and all that it began."""
    monkeypatch.setattr(FakeStream, "cut", lambda _: True)
    store = Store(FakeDatabase(), Settings())
    new = submission(body=REQUEST)
    await store.submit(new)
    job = await store.claim(new.response_id, WORKER)
    assert isinstance(job, Claimed)
    with tracing.used(spans := FakeTracing()):
        source, rest = FakeSource(), list[Callable[[], None]]()
        scribe = Scribe(job, store=store, source=source, settings=Settings(), renew_every_s=60, after=rest.append)
        scribe.begin()
        run = asyncio.create_task(scribe.run())
        await wait_until(lambda: source.opened == 1)
        await asyncio.sleep(0)
        scribe.stop(STOP)
        assert len(rest) == 1
        made = Held(scribe, rest, spans.spans)
        assert made.obeyed() == []
        yield made
        async with asyncio.timeout(15):
            await run
        made.come_to_rest()
        assert [span.ends for span in spans.spans] == [1] * len(spans.spans)
        assert len(made.obeyed()) == 1


async def test_its_time_comes(held: Held) -> None:
    """As nearly always."""
    held.come_to_rest()


async def test_the_id_of_its_worker_is_lost_meanwhile(held: Held) -> None:
    """The run ends of that."""
    held.scribe.abandon(Loss.LEASE)


async def test_its_worker_is_drained_meanwhile(held: Held) -> None:
    """The stop stays what it was."""
    held.scribe.drain()
