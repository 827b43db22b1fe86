"""One run of a function: held back, given up on, cancelled once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from andon.pieces import Cause, Delta, Finish, Piece
from tests.stack.waiting import wait_until
from worker.upstream.own.function import OwnFunction
from worker.upstream.own.source import OwnSource

Generate = Callable[[dict[str, Any]], AsyncGenerator[Any, None]]


def _source(generate: Generate, *, gap_s: float = 30.0) -> OwnSource:
    return OwnSource(OwnFunction("mine:f", generate), gap_s=gap_s, on_worn_out=lambda: None)


async def test_a_generator_that_never_waits_is_held_back() -> None:
    """What was not taken is bounded, and the loop has its turns."""
    said = 0

    async def f(_: dict[str, Any]) -> AsyncGenerator[str, None]:
        nonlocal said
        while True:
            said += 1
            yield "x"

    async with _source(f).open({"input": "hi"}) as stream:
        for _ in range(50):
            await asyncio.sleep(0)
        before = said
        assert before < 100
        assert await anext(stream)
        await wait_until(lambda: said > before)
    assert stream.left_behind is False


async def test_silence_beyond_the_gap_is_a_failure_and_the_end() -> None:
    """Counted between two yields; an empty text is a sign of life."""
    closed = asyncio.Event()

    async def f(_: dict[str, Any]) -> AsyncGenerator[str, None]:
        try:
            for _turn in range(6):
                await asyncio.sleep(0.3)
                yield ""
            yield "late, but alive"
            await asyncio.sleep(3600)
        finally:
            closed.set()

    pieces: list[Piece] = []
    async with _source(f, gap_s=1.5).open({"input": "hi"}) as stream:
        async for some in stream:
            pieces += some
    assert closed.is_set()
    assert [piece.text for piece in pieces if isinstance(piece, Delta)] == ["late, but alive"]
    finish = pieces[-1]
    assert isinstance(finish, Finish)
    assert finish.failure is not None
    assert finish.failure.cause is Cause.UPSTREAM_TIMEOUT
    assert "yielded nothing for 1.5 s" in finish.failure.message


async def test_it_is_cancelled_once_however_often_it_is_closed() -> None:
    """A `finally` that awaits is not cut short by those who close it again."""
    ended = False

    async def f(_: dict[str, Any]) -> AsyncGenerator[str, None]:
        nonlocal ended
        try:
            yield "x"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            ended = True

    async with _source(f).open({"input": "hi"}) as stream:
        await anext(stream)
        await asyncio.gather(stream.close(), stream.close(), stream.close())
        assert ended
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_stop_before_its_first_step_runs_nothing() -> None:
    """Closed within the turn in which it was opened, it never begins."""
    begun = False

    async def f(_: dict[str, Any]) -> AsyncGenerator[str, None]:
        nonlocal begun
        begun = True
        yield "x"

    async with _source(f).open({"input": "hi"}):
        pass
    assert not begun


async def test_the_request_is_its_own() -> None:
    """What it does to its argument changes nothing of ours: the usage of a stopped response is counted from that."""
    body = {"input": [{"role": "user", "content": "hi"}], "metadata": {}}

    async def f(request: dict[str, Any]) -> AsyncGenerator[str, None]:
        request["input"].clear()
        request["metadata"]["mine"] = "x"
        yield "x"

    async with _source(f).open(body) as stream:
        assert [piece async for pieces in stream for piece in pieces]
    assert body == {"input": [{"role": "user", "content": "hi"}], "metadata": {}}
