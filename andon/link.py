"""Link: one multiplexed connection to one Redis node, for all of a role's commands.

Owns the order of commands and replies, and their deadlines. Commands that are called within one turn of the event
loop go out in one write; commands called while others are in flight follow at once, without waiting for replies
(RESP pipelining). Measured: a command alone costs some ten times the CPU of one in a batch.

Guarantees:
- Replies come in the order of the calls. Nothing is ever sent twice: a lost reply is `StoreUnavailable`, and whoever
  called knows whether a repeat is safe. (redis-py's own retries are off: they repeat commands that already ran.)
- No call waits longer than its deadline. A connection whose oldest reply is overdue is given up, so a frozen server
  costs one deadline, not one a call.
- Cancelling a caller cancels nothing on the wire: callers await futures, and the reply of an abandoned call is read
  and dropped. No reply is ever mixed up.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from andon.connection import StandingConnection
from andon.errors import StoreUnavailable

Argument: TypeAlias = str | bytes | int | float

_WATCH_EVERY_S: Final = 0.05
_MOST_UNSENT: Final = 20_000


class _Call(msgspec.Struct):
    args: tuple[Argument, ...]
    reply: "asyncio.Future[Any]"
    deadline: float
    # What to send instead if the server does not know the script: EVAL with the whole text.
    if_unknown: tuple[Argument, ...] | None = None


class Link(StandingConnection):
    """Commands and their replies over one standing connection."""

    def __init__(
        self,
        make_connection: Callable[[], AbstractConnection],
        *,
        timeout_s: float,
        greet: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(make_connection, timeout_s=timeout_s)
        self._greeting = greet
        # Called and not yet written; bounded by _MOST_UNSENT, beyond which calls fail at once.
        self._unsent: deque[_Call] = deque()
        # Written, reply not yet read, in order.
        self._in_flight: deque[_Call] = deque()
        self._wake = asyncio.Event()

    def call(
        self, *args: Argument, timeout_s: float | None = None, if_unknown: tuple[Argument, ...] | None = None
    ) -> "asyncio.Future[Any]":
        """Queue a command; the future brings its reply, or raises StoreUnavailable or redis' ResponseError.

        `if_unknown` is sent instead when the server answers NOSCRIPT: the one repeat, of what provably did not run.
        Cancelling the wait is safe; the command may run all the same.
        """
        loop = asyncio.get_running_loop()
        call = _Call(args, loop.create_future(), loop.time() + (timeout_s or self._timeout_s), if_unknown)
        self._queue(call)
        return call.reply

    def _queue(self, call: _Call) -> None:
        if len(self._unsent) >= _MOST_UNSENT:
            self._fail(call, "too many commands wait for Redis")
        else:
            self._unsent.append(call)
            self._wake.set()

    def call_many(self, commands: Sequence[tuple[Argument, ...]]) -> "list[asyncio.Future[Any]]":
        """Queue commands that must stay neighbours on the wire."""
        return [self.call(*command) for command in commands]

    async def _greet(self, connection: AbstractConnection) -> None:
        if self._greeting is not None:
            await self._greeting(connection)

    async def _write(self, connection: AbstractConnection) -> None:
        # Calls may have gathered while there was no connection.
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            calls = [call for call in self._unsent if not call.reply.done()]
            self._unsent.clear()
            if calls:
                # Before the write: if it fails midway, nobody knows what ran, and `_lost` says so to them all.
                self._in_flight.extend(calls)
                await self._send(connection, [call.args for call in calls])

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            try:
                reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as error:
                reply = error
            self._answer(reply)

    def _answer(self, reply: Any) -> None:
        call = self._in_flight.popleft()
        if isinstance(reply, NoScriptError) and call.if_unknown is not None:
            self._queue(_Call(call.if_unknown, call.reply, call.deadline))
        elif call.reply.done():
            pass  # its caller went away
        elif isinstance(reply, ResponseError):
            is_full = isinstance(reply, OutOfMemoryError) or str(reply).startswith("OOM")
            error = StoreUnavailable("Redis is full; make room or wait", code="store_full") if is_full else reply
            call.reply.set_exception(error)
            call.reply.exception()  # a caller that goes away before it looks is no error of the program
        else:
            call.reply.set_result(reply)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now = loop.time()
            while self._unsent and self._unsent[0].deadline < now:
                self._fail(self._unsent.popleft(), "Redis is not reachable")
            if self._in_flight and self._in_flight[0].deadline < now:
                await self._give_up("a reply is overdue")

    def _lost(self) -> None:
        # What was in flight may or may not have run: its callers decide. What was not sent waits for the next
        # connection, within its deadline.
        while self._in_flight:
            self._fail(self._in_flight.popleft(), "the connection to Redis was lost")

    def _closed(self) -> None:
        while self._unsent:
            self._fail(self._unsent.popleft(), "the link was closed")

    @staticmethod
    def _fail(call: _Call, why: str) -> None:
        if not call.reply.done():
            call.reply.set_exception(StoreUnavailable(f"{why}; try again"))
            call.reply.exception()  # a caller that goes away before it looks is no error of the program
