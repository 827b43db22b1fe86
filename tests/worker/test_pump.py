import asyncio

import pytest

from andon.pieces import Cause, Finish, Piece
from tests.stack.waiting import wait_until
from tests.worker.sources import FAILURE, FINISH, REQUEST, FakeSource, failure, text
from worker.pump import Pump

AT_ONCE_S = 0.04  # before the forced close, so that it is the cancel that worked
FORCED_S = 0.5


class Run:
    """A pump and what it handed on."""

    def __init__(self, source: FakeSource, *, retries: int = 2) -> None:
        self.pieces: list[Piece] = []
        self.ends = 0
        self.pump = Pump(source, retries=retries, on_pieces=self.pieces.extend, on_end=self._count)

    def _count(self) -> None:
        self.ends += 1

    @property
    def finish(self) -> Finish | None:
        """Return the finish that was handed on."""
        finishes = [piece for piece in self.pieces if isinstance(piece, Finish)]
        assert len(finishes) <= 1
        return finishes[0] if finishes else None

    async def closed(self, within_s: float = 2.0) -> None:
        """Wait for the pump's end."""
        assert await self.pump.closed(within_s)


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note each back-off and take none of its time."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(delay_s: float) -> None:
        slept.append(delay_s)
        await sleep(0)

    monkeypatch.setattr("worker.pump.asyncio.sleep", note)
    return slept


async def test_pieces_are_handed_on_as_they_come_and_once() -> None:
    """What came at once is together; after the finish nothing more."""
    source = FakeSource()
    run = Run(source)
    run.pump.start(REQUEST)
    source.stream.put(text("a"), text("b"))
    await wait_until(lambda: len(run.pieces) == 2)
    source.stream.put(text("c"), FINISH)
    source.stream.put(text("late"))
    source.stream.end()
    await run.closed()
    assert run.pieces == [text("a"), text("b"), text("c"), FINISH]
    assert run.ends == 1
    assert run.pump.opened
    assert run.pump.closed_at is not None


async def test_a_pump_that_never_started_is_closed() -> None:
    """It opened nothing, so there is nothing that may have cost something."""
    source = FakeSource()
    run = Run(source)
    run.pump.stop()
    await run.closed()
    assert (source.opened, run.pump.opened, run.pump.closed_at) == (0, False, None)


async def test_a_stop_before_the_first_step_opens_nothing() -> None:
    """Start and stop in one turn of the loop: no request is made."""
    source = FakeSource()
    run = Run(source)
    run.pump.start(REQUEST)
    run.pump.stop()
    await run.closed(AT_ONCE_S)
    assert source.opened == 0
    assert run.pump.closed_at is None


async def test_a_stop_before_the_start_opens_nothing() -> None:
    """A mark that came while the request was still being made."""
    source = FakeSource()
    run = Run(source)
    run.pump.stop()
    run.pump.start(REQUEST)
    await run.closed(AT_ONCE_S)
    assert source.opened == 0


async def test_a_stop_while_the_request_is_opened_ends_it_at_once() -> None:
    """Before the connection stands, or before the first token."""
    source = FakeSource()
    source.gate.clear()
    run = Run(source)
    run.pump.start(REQUEST)
    await source.entered.wait()
    run.pump.stop()
    await run.closed(AT_ONCE_S)
    assert source.left.is_set()
    assert run.finish is None
    assert run.pump.closed_at is not None


async def test_a_stream_that_was_told_of_is_cut_though_it_is_not_entered_yet() -> None:
    """Under a load its first pieces are with the client before the pump has its turn: a stop does not wait for that."""
    source = FakeSource()
    source.begins_early = source.stream.cut_closes = True
    source.gate.clear()
    run = Run(source)
    run.pump.start(REQUEST)
    await source.entered.wait()
    assert run.pump.cut()
    assert (source.stream.cuts, run.pump.closed_at is None) == (1, False)
    run.pump.stop()
    await run.closed()
    assert (run.pieces, run.ends) == ([], 1)


async def test_a_try_that_failed_leaves_no_stream_to_cut() -> None:
    """Its stream is gone: to cut it would look like a closed upstream, while the next request is on its way."""
    source = FakeSource(failure(retryable=True, retry_after_s=30))
    source.begins_early = source.stream.cut_closes = True
    run = Run(source)
    run.pump.start(REQUEST)
    await source.left.wait()
    assert not run.pump.cut()
    assert source.stream.cuts == 0
    run.pump.stop()
    await run.closed()


@pytest.mark.parametrize("pieces_before", [0, 1, 5])
async def test_a_stop_between_two_chunks_ends_the_stream_at_once(pieces_before: int) -> None:
    """Not at the next chunk; nothing is handed on afterwards, and no finish is made up."""
    source = FakeSource()
    run = Run(source)
    run.pump.start(REQUEST)
    for _ in range(pieces_before):
        source.stream.put(text())
    await wait_until(lambda: len(run.pieces) == pieces_before)
    await source.entered.wait()
    run.pump.stop()
    run.pump.stop()
    source.stream.put(text("late"))
    await run.closed(AT_ONCE_S)
    assert source.left.is_set()
    assert len(run.pieces) == pieces_before
    assert run.ends == 1


async def test_a_stop_in_a_back_off_ends_it_at_once() -> None:
    """A stop does not wait for a retry, nor does the retry take place."""
    source = FakeSource(failure(retryable=True, retry_after_s=20))
    run = Run(source)
    run.pump.start(REQUEST)
    await source.left.wait()
    await asyncio.sleep(0)  # into the back-off
    run.pump.stop()
    await run.closed(AT_ONCE_S)
    assert source.opened == 1
    assert run.finish is None


async def test_a_lost_cancel_is_made_good_by_a_close_from_outside() -> None:
    """A reader that swallows its cancellation once, as on CPython 3.11: the stream is closed 50 ms later."""
    source = FakeSource()
    source.stream.swallows = 1
    run = Run(source)
    run.pump.start(REQUEST)
    await source.entered.wait()
    await asyncio.sleep(0)
    run.pump.stop()
    await run.closed(FORCED_S)
    assert source.stream.closed.is_set()
    assert run.finish is None


async def test_a_lost_cancel_is_made_good_by_the_flag_at_the_next_chunk() -> None:
    """The flag is looked at before each chunk: what came after the stop is not handed on."""
    source = FakeSource()
    source.stream.swallows = 1
    run = Run(source)
    run.pump.start(REQUEST)
    await source.entered.wait()
    await asyncio.sleep(0)
    run.pump.stop()
    source.stream.put(text("late"))
    await run.closed(AT_ONCE_S)
    assert run.pieces == []
    assert source.left.is_set()


async def test_a_reader_that_does_not_return_from_its_close_is_cancelled_again() -> None:
    """The last resort: also a source of one's own that ignores both ends."""
    source = FakeSource()
    source.stream.swallows = 1
    source.stream.close = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    run = Run(source)
    run.pump.start(REQUEST)
    await source.entered.wait()
    await asyncio.sleep(0)
    run.pump.stop()
    await run.closed(FORCED_S)
    assert source.left.is_set()


async def test_what_may_succeed_later_is_tried_again(delays: list[float]) -> None:
    """Back-off grows; the answer of the last try is the run's."""
    source = FakeSource(failure(retryable=True), failure(retryable=True))
    run = Run(source)
    run.pump.start(REQUEST)
    source.stream.put(text(), FINISH)
    source.stream.end()
    await run.closed()
    assert source.opened == 3
    assert run.pieces == [text(), FINISH]
    assert 0.125 <= delays[0] <= 0.25 <= delays[1] <= 0.5


async def test_the_servers_wish_is_the_delay_up_to_a_bound(delays: list[float]) -> None:
    """`Retry-After` is obeyed, but not for minutes."""
    source = FakeSource(failure(retryable=True, retry_after_s=3.5), failure(retryable=True, retry_after_s=900))
    run = Run(source)
    run.pump.start(REQUEST)
    source.stream.put(FINISH)
    source.stream.end()
    await run.closed()
    assert delays == [3.5, 30.0]


async def test_when_the_tries_are_spent_the_failure_is_the_finish(delays: list[float]) -> None:
    """One finish, with the precise cause of the last try."""
    source = FakeSource(*(failure(retryable=True) for _ in range(3)))
    run = Run(source)
    run.pump.start(REQUEST)
    await run.closed()
    assert source.opened == 3
    assert len(delays) == 2
    assert run.pieces == [Finish("failed", {}, {}, failure=FAILURE)]


async def test_what_will_never_do_is_not_tried_again() -> None:
    """A refused request is not sent twice, and has cost nothing: the upstream told so."""
    source = FakeSource(failure(retryable=False))
    run = Run(source)
    run.pump.start(REQUEST)
    await run.closed()
    assert source.opened == 1
    assert run.finish == Finish("failed", {}, {}, failure=FAILURE)


@pytest.mark.parametrize("crash", [None, ValueError("a bug of the source")])
async def test_a_source_that_crashes_or_just_ends_fails_the_run(crash: Exception | None) -> None:
    """The scribe never waits for ever; what was received stays, and no bug's words go to the client."""
    source = FakeSource()
    run = Run(source)
    run.pump.start(REQUEST)
    source.stream.put(text())
    source.stream.end(crash)
    await run.closed()
    assert run.pieces[0] == text()
    assert run.finish is not None
    assert run.finish.failure is not None
    assert run.finish.failure.cause is Cause.INTERNAL
    assert "a bug" not in run.finish.failure.message
    assert run.ends == 1


async def test_the_running_usage_is_the_streams() -> None:
    """At a stop it is the exact count, where the upstream tells it."""
    source = FakeSource()
    run = Run(source)
    run.pump.start(REQUEST)
    source.stream.usage_so_far = {"input_tokens": 1}
    source.stream.put(text())
    await wait_until(lambda: bool(run.pieces))
    assert run.pump.usage_so_far == {"input_tokens": 1}
    run.pump.stop()
    await run.closed()
    assert run.pump.usage_so_far == {"input_tokens": 1}
