import asyncio
from functools import partial

from tests.stack.waiting import wait_until
from worker.aftermath import Aftermath, at_once


async def test_what_is_given_is_called_later_once_and_in_its_order() -> None:
    """A closing is not held up by what follows it."""
    after, called = Aftermath(), list[int]()
    for number in range(100):
        after(partial(called.append, number))
    assert called == []
    await wait_until(lambda: len(called) == 100)
    assert called == list(range(100))
    after(partial(called.append, 100))
    await wait_until(lambda: len(called) == 101)


async def test_others_get_their_turn_in_between() -> None:
    """A thousand settlements must not keep the next stop from being heard."""
    after, called, turns = Aftermath(), list[int](), list[int]()
    for number in range(100):
        after(partial(called.append, number))
    while len(called) < 100:
        await asyncio.sleep(0)
        turns.append(len(called))
    assert len(set(turns) - {0, 100}) >= 4


async def test_closings_that_never_stop_hold_up_nothing_for_ever() -> None:
    """The bound counts from the first that waits."""
    after, called = Aftermath(), list[int]()
    async with asyncio.timeout(15):
        while not called:
            after(partial(called.append, 1))
            await asyncio.sleep(0)


async def test_one_that_is_called_may_give_another() -> None:
    """It is called as well."""
    after, called = Aftermath(), list[str]()

    def first() -> None:
        called.append("first")
        after(partial(called.append, "second"))

    after(first)
    await wait_until(lambda: called == ["first", "second"])


def test_the_plain_version_calls_at_once() -> None:
    """No loop is needed."""
    called: list[int] = []
    at_once(partial(called.append, 1))
    assert called == [1]
