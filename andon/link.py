"""Link: one multiplexed connection to one Redis node, for all of a role's commands.

Owns the order of commands and replies, and their deadlines. Commands that are called within one turn of the event
loop go out in one write; commands called while others are in flight follow at once, without waiting for replies
(RESP pipelining). Measured: a command alone costs some ten times the CPU of one in a batch.

Guarantees:
- Replies come in the order of the calls. Nothing is ever sent twice: a lost reply is `StoreUnavailable`, and whoever
  called knows whether a repeat is safe. (redis-py's own retries are off: they repeat commands that already ran.)
- No call waits longer than its deadline. A connection whose oldest reply is overdue is given up, so a frozen server
  costs one deadline, not one a call.
- A server that is no master any more is left: what it refused did not run, and is StoreUnavailable, too.
- Cancelling a caller cancels nothing on the wire: callers await futures, and the reply of an abandoned call is read
  and dropped. No reply is ever mixed up.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import DataError, NoScriptError, ResponseError

from andon.connection import OpenConnection, StandingConnection
from andon.errors import StoreUnavailable
from andon.intake import read_replies
from andon.outlet import Outlet, outlet_of

Argument: TypeAlias = str | bytes | int | float

_WATCH_EVERY_S: Final = 0.05
_MOST_UNSENT: Final = 20_000
# Of those that hurry within one turn: the first is alone in its write, the rest go by so many.
_HURRIES_A_WRITE: Final = 8
# How a server says that it has become a replica, or is one: whatever it is asked to write, another is the one to ask.
_DEMOTED: Final = ("READONLY", "MASTERDOWN", "UNBLOCKED")
# A master that is cut off from its replicas refuses writes. It is not left: it may be the master all the same, and to
# connect anew for each write would help nobody; where there is another, the sentinels say so.
_FORLORN: Final = "NOREPLICAS"


class Receiver(Protocol):
    """Who gets the reply of a call: a future; or what is told within the transport's callback, and must not fail."""

    def done(self) -> bool:
        """Tell whether nobody waits for it any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Take the reply."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Take what came instead of it."""
        ...

    def exception(self) -> BaseException | None:
        """Take note that the failure was looked at."""
        ...


class Call(msgspec.Struct, gc=False):
    """One command on its way. `deadline`: loop time."""

    args: tuple[Argument, ...]
    reply: Receiver
    deadline: float
    # The text of an EVALSHA's script: EVAL is sent instead if the server does not know it.
    if_unknown: str | None = None
    # The command as the wire has it, where whoever called has packed it; empty where one before has it with its own.
    wire: bytes | None = None
    # In a cluster: whether it may go to another server, how often it did, and whether the next needs ASKING before it.
    is_bound: bool = True
    redirects: int = 0
    is_asking: bool = False


class Link(StandingConnection):
    """Commands and their replies over one standing connection."""

    def __init__(
        self,
        open_connection: OpenConnection,
        *,
        timeout_s: float,
        greet: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(open_connection, timeout_s=timeout_s)
        self._greeting = greet
        # Called and not yet written; bounded by _MOST_UNSENT, beyond which calls fail at once.
        self._unsent: deque[Call] = deque()
        # Written, reply not yet read, in order.
        self._in_flight: deque[Call] = deque()
        self._wake = asyncio.Event()
        # Writes at once; None while no connection stands, or where it has none: then the writer's task does.
        self._outlet: Outlet | None = None
        # Why a write at once failed: the writer's task gives up the connection.
        self._failure: OSError | None = None
        # Whether this turn's commands are on their way out.
        self._is_departing = False
        # How often this turn was hurried.
        self._hurries = 0

    def call(
        self, *args: Argument, timeout_s: float | None = None, if_unknown: str | None = None
    ) -> "asyncio.Future[Any]":
        """Queue a command; the future brings its reply, or raises StoreUnavailable or redis' ResponseError.

        `if_unknown`: the text of a script; it is sent instead of its digest when the server answers NOSCRIPT: the one
        repeat, of what provably did not run. Cancelling the wait is safe; the command may run all the same.
        """
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        self.queue(Call(args, reply, loop.time() + (timeout_s or self._timeout_s), if_unknown))
        return reply

    def queue(self, call: Call) -> None:
        """Queue a call that was made elsewhere. May fail it within this call."""
        if len(self._unsent) >= _MOST_UNSENT:
            fail(call, "too many commands wait for Redis")
        else:
            self._unsent.append(call)
            if self._outlet is None:
                self._wake.set()
            elif not self._is_departing:
                self._is_departing = True
                asyncio.get_running_loop().call_soon(self._depart)

    def hold(self) -> None:
        """Let what is called from now on wait for `go`, which is to follow within the turn."""
        self._is_departing = True

    def go(self) -> None:
        """Write what was called, instead of at the end of the turn: somebody waits for just that.

        Where many do so in one turn, the first goes alone, and the others some at a time.
        """
        self._hurries += 1
        if self._hurries % _HURRIES_A_WRITE == 1:
            self._go()
        if self._hurries == 1:
            # One look a turn, later than all that hurries in it: it costs nothing of the time of the first.
            asyncio.get_running_loop().call_soon(self._depart)

    def call_many(self, commands: Sequence[tuple[Argument, ...]]) -> "list[asyncio.Future[Any]]":
        """Queue commands that must stay neighbours on the wire."""
        return [self.call(*command) for command in commands]

    async def _greet(self, connection: AbstractConnection) -> None:
        if self._greeting is not None:
            await self._greeting(connection)

    async def _write(self, connection: AbstractConnection) -> None:
        # Calls may have gathered while there was no connection.
        self._wake.set()
        self._outlet = outlet_of(connection)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._failure is not None:
                    raise self._failure
                calls = self._departing()
                self._unsent.clear()
                if calls:
                    # Before the write: if it fails midway, nobody knows what ran, and `_lost` says so to them all.
                    self._in_flight.extend(calls)
                    await self._send(connection, [call.args for call in calls])
        finally:
            self._outlet = self._failure = None

    def _depart(self) -> None:
        """Write what was called in this turn, and was in no hurry."""
        self._is_departing = False
        self._hurries = 0
        self._go()

    def _go(self) -> None:
        """Write what was called; where the server is behind, the writer's task waits for it."""
        if not self._unsent:
            return
        outlet = self._outlet
        if outlet is None or outlet.is_behind:
            self._wake.set()
            return
        calls = self._departing()
        self._unsent.clear()
        packed = []
        for call in calls:
            try:
                packed.append(outlet.packed(call.args) if call.wire is None else call.wire)
            except DataError as error:
                fail_with(call, error)
            else:
                self._in_flight.append(call)
        if packed:
            try:
                outlet.write(packed)
            except (RuntimeError, OSError) as error:  # RuntimeError: uvloop's word for a transport that has just closed
                self._failure = OSError(f"the connection was closed: {error}")
                self._wake.set()

    def _departing(self) -> list[Call]:
        return [call for call in self._unsent if not call.reply.done()]

    async def _read(self, connection: AbstractConnection) -> None:
        await read_replies(connection, self._answer)

    def _answer(self, reply: Any) -> None:
        call = self._in_flight.popleft()
        if isinstance(reply, ResponseError):
            self._take_error(call, reply)
        elif not call.reply.done():  # else its caller went away
            call.reply.set_result(reply)

    def _take_error(self, call: Call, error: ResponseError) -> None:
        if isinstance(error, NoScriptError) and call.if_unknown is not None:
            call.args, call.if_unknown, call.wire = ("EVAL", call.if_unknown, *call.args[2:]), None, None
            self.queue(call)
        elif not call.reply.done():
            self._refused(call, error)

    def _refused(self, call: Call, error: ResponseError) -> None:
        """Take in an error reply. Raises OSError if this server is to be left."""
        told = words(error)
        if told.startswith("OOM"):
            fail_with(call, StoreUnavailable("Redis is full; make room or wait", code="store_full"))
        elif told.startswith(_FORLORN):
            fail(call, "Redis has too few replicas to write")
        elif told.startswith(_DEMOTED):
            fail(call, "this Redis is no master any more")
            raise OSError(f"the server is no master any more: {told}")
        else:
            fail_with(call, error)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now = loop.time()
            while self._unsent and self._unsent[0].deadline < now:
                fail(self._unsent.popleft(), "Redis is not reachable")
            if self._in_flight and self._in_flight[0].deadline < now:
                await self._give_up("a reply is overdue")

    def _lost(self) -> None:
        # What was in flight may or may not have run: its callers decide. What was not sent waits for the next
        # connection, within its deadline.
        while self._in_flight:
            fail(self._in_flight.popleft(), "the connection to Redis was lost")

    def _closed(self) -> None:
        while self._unsent:
            fail(self._unsent.popleft(), "the link was closed")


def words(error: ResponseError) -> str:
    """Return what the server said, its code first: redis-py takes off those that it knows."""
    code, told = error.status_code, str(error)
    return told if code is None or told.startswith(code) else f"{code} {told}"


def fail(call: Call, why: str) -> None:
    """Let a call fail as one that may be repeated."""
    fail_with(call, StoreUnavailable(f"{why}; try again"))


def fail_with(call: Call, error: Exception) -> None:
    """Let a call fail with this error, unless its caller has gone away."""
    if not call.reply.done():
        call.reply.set_exception(error)
        call.reply.exception()  # a caller that goes away before it looks is no error of the program
