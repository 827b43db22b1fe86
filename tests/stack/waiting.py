"""Waiting: until something holds, never for a fixed time.

Owns the one polling loop of the tests. Guarantees: returns as soon as the condition holds, or fails the test at the
deadline with what was waited for.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

_LOOK_EVERY_S = 0.005

T = TypeVar("T")


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], timeout_s: float = ..., *, what: str = ...) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], timeout_s: float = ..., *, what: str = ...) -> T: ...
async def wait_until(condition: Callable[[], Any], timeout_s: float = 15.0, *, what: str = "") -> Any:
    """Return the first true value of the condition. Raises AssertionError at the deadline. Cancelling it is safe.

    `what`: what was waited for, where the condition's own text does not tell.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = condition()
                value = await found if isinstance(found, Awaitable) else found
                if value:
                    return value
                await asyncio.sleep(_LOOK_EVERY_S)  # a process has no other way of saying so
    except TimeoutError as error:
        raise AssertionError(f"not within {timeout_s:g} s: {what or _told(condition)}") from error


def _told(condition: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (TypeError, OSError):  # no function of a file
        return repr(condition)
