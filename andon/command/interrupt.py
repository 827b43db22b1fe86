"""Ctrl-C, SIGTERM and SIGHUP for a command that has to clean up.

Owns the signals while a coroutine runs. Does not own the clean-up, which is the coroutine's own unwinding.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_TOLD_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - the condition is the name
    """A signal ended the work, and its clean-up is done."""


@asynccontextmanager
async def on_signal(told: Callable[[], None]) -> AsyncIterator[None]:
    """Call `told` at each signal that asks this process to end, for the length of a block."""
    loop = asyncio.get_running_loop()
    for number in _TOLD_TO_END:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in _TOLD_TO_END:
            loop.remove_signal_handler(number)


async def interruptible(work: Coroutine[Any, Any, T], *, again: Callable[[], None]) -> T:
    """Run `work`; the first signal cancels it, each further one calls `again`.

    Raises Interrupted, once `work` has unwound, if a signal ended it; else whatever it raises.
    """
    task = asyncio.ensure_future(work)
    told = False

    def tell() -> None:
        nonlocal told
        if told:
            again()
        else:
            told = True  # the reason is on record before the cancel
            task.cancel()

    async with on_signal(tell):
        try:
            return await task
        except asyncio.CancelledError:
            if not told:
                task.cancel()
                raise
            raise Interrupted from None
