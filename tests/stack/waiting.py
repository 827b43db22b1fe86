"""Waiting: until something holds, never for a fixed time.

Owns the one polling loop of the tests. Guarantees: returns as soon as the predicate holds, or fails the test at the
deadline with what was waited for.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_POLL_S = 0.01

T = TypeVar("T")


async def wait_until(predicate: Callable[[], T], timeout_s: float = 10.0, *, what: str) -> T:
    """Return the first true value of the predicate. Raises AssertionError at the deadline. Cancelling it is safe."""
    deadline = time.monotonic() + timeout_s
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(_POLL_S)  # between two looks: a process has no other way of saying so
    return value
