"""Transaction: commands that run together on one server (MULTI, EXEC), and their replies in one go.

Owns how they go over the wire, and what counts as their answer. Does not own what to do where one was refused: who
called has a plain way, command by command, which tells what is wrong.

Guarantees: the server runs all of them with nothing in between, or says which it refused; who waits for a reply is
told once, whatever becomes of the connection.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from andon.link import Argument, Call
from andon.outlet import packed


class Transaction:
    """One transaction on its way. Meets `andon.link.Receiver`, for each of its commands."""

    __slots__ = ("_awaited", "_is_refused", "replies")

    def __init__(
        self, queue: Callable[[Call], None], timeout_s: float, commands: Sequence[tuple[Argument, ...]]
    ) -> None:
        loop = asyncio.get_running_loop()
        # Brings the replies of the commands; None where the server refused one of them, or all.
        self.replies: asyncio.Future[list[Any] | None] = loop.create_future()
        # How many replies are to come: to MULTI, to each command, to EXEC.
        self._awaited = len(commands) + 2
        self._is_refused = False
        deadline = loop.time() + timeout_s
        together = (("MULTI",), *commands, ("EXEC",))
        # The first has the bytes of them all: they leave together or not at all, for they have one receiver.
        wire = packed(together)
        for command in together:
            queue(Call(command, self, deadline, wire=wire))
            wire = b"" if wire is not None else None

    def done(self) -> bool:
        """Tell whether nobody waits for it any more: then what is not sent yet is not sent."""
        return self.replies.done()

    def set_result(self, result: Any, /) -> None:
        """Take a reply; the last one has those of the commands."""
        self._awaited -= 1
        if self._awaited:
            return
        if self._is_refused or any(isinstance(reply, ResponseError) for reply in result):
            self.replies.set_result(None)
        else:
            self.replies.set_result(result)

    def set_exception(self, exception: Exception, /) -> None:
        """Take what came instead of a reply. A refusal is told with the last one: until then there are more to come."""
        if not isinstance(exception, ResponseError):
            self.replies.set_exception(exception)
            return
        self._is_refused = True
        self.set_result(None)

    def exception(self) -> BaseException | None:
        """Take note that the failure was looked at."""
        return self.replies.exception() if self.replies.done() else None
