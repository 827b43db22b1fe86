"""Hearer: the reply to commands that belong together, told within the callback in which it came.

Owns what counts as their answer: the reply to the last of them, or what came instead of any. Does not own repeats, nor
what is done with it. Guarantees: it is told exactly once, as the reply or as the error that a future would raise;
what is told must not fail. No future is made and no task woken: a turn of the event loop sooner than both.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from andon.database import Database
from andon.link import Argument, Call


class Hearer:
    """Hears the replies of commands that go to one server. Meets `andon.link.Receiver`, for each of them."""

    __slots__ = ("_awaited", "_on_reply")

    def __init__(self, awaited: int, on_reply: Callable[[Any], None]) -> None:
        # How many replies are to come; 0 once it is told.
        self._awaited = awaited
        self._on_reply = on_reply

    def done(self) -> bool:
        """Tell whether all is told: then what is not sent yet is not sent."""
        return not self._awaited

    def set_result(self, result: Any, /) -> None:
        """Take a reply; the last one is told."""
        self._awaited -= 1
        if not self._awaited:
            self._on_reply(result)

    def set_exception(self, exception: Exception, /) -> None:
        """Take what came instead of one: it is told like a reply."""
        self._awaited = 0
        self._on_reply(exception)

    def exception(self) -> None:
        """Return nothing: it was told."""


def hear(
    database: Database,
    commands: Sequence[tuple[Argument, ...]],
    on_reply: Callable[[Any], None],
    *,
    timeout_s: float | None = None,
    if_unknown: str | None = None,
) -> None:
    """Send commands in their order; `on_reply` is told of the last one, or of the first failure, maybe at once.

    `if_unknown`: the text of the script that the last one calls. They must go to one server.
    """
    hearer = Hearer(len(commands), on_reply)
    deadline = asyncio.get_running_loop().time() + (timeout_s or database.timeout_s)
    *hints, last = commands
    for hint in hints:
        database.queue(Call(hint, hearer, deadline))
    database.queue(Call(last, hearer, deadline, if_unknown))


def settle(future: "asyncio.Future[Any]", told: Any) -> None:
    """Give a future what a hearer was told."""
    if isinstance(told, Exception):
        future.set_exception(told)
        future.exception()  # whoever is to wait for it may be gone
    else:
        future.set_result(told)
