"""Subscriber: pub/sub that knows when it is deaf.

Owns one connection's subscriptions, their confirmations, and a ping of its own with a deadline for the pong: after a
CLIENT KILL messages are lost without an exception, and a frozen or partitioned server is not noticed by redis-py.

Guarantees: `subscribe` returns once the server has confirmed, so whatever is published afterwards arrives, or the
channel is confirmed anew. Every confirmation, the first and each later one, is told to `on_confirmed`: what was
published before it may have been missed, so re-read the durable state then. Messages of one channel come in order.
Handlers are plain functions, called within the reader: they must not block.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from andon.connection import OpenConnection, StandingConnection
from andon.errors import StoreUnavailable
from andon.intake import Intake, intake_of, read_plainly

_log = structlog.get_logger(__name__)

_MESSAGES: Final = {b"message", b"smessage"}
_CONFIRMED: Final = {b"subscribe", b"ssubscribe"}
# SSUBSCRIBE takes many channels in one command; a bound keeps one reconnect from being one huge command.
_MOST_CHANNELS_A_COMMAND: Final = 1000


class Subscriptions(Protocol):
    """What a subscriber is to whoever listens, however many connections are behind it."""

    def open(self) -> AbstractAsyncContextManager[Any]:
        """Keep up what is behind it for as long as the context lasts."""
        ...

    async def subscribe(self, channel: str) -> None:
        """Subscribe and wait for the server's confirmation."""
        ...

    def want(self, channel: str) -> "asyncio.Future[None]":
        """Subscribe without waiting; return the future of the confirmation."""
        ...

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel."""
        ...

    def glance(self) -> None:
        """Hear what has come already, without waiting for the loop's turn, where that can be."""
        ...

    @property
    def deaf(self) -> bool:
        """Tell whether any wanted channel is unconfirmed at this moment."""
        ...


class Subscriber(StandingConnection):
    """Subscriptions to channels of one kind over one standing connection."""

    def __init__(
        self,
        open_connection: OpenConnection,
        *,
        sharded: bool,
        timeout_s: float,
        ping_every_s: float,
        on_message: Callable[[str, bytes], None],
        on_confirmed: Callable[[str], None],
    ) -> None:
        super().__init__(open_connection, timeout_s=timeout_s)
        self._prefix = "S" if sharded else ""
        self._ping_every_s = ping_every_s
        self._on_message = on_message
        self._on_confirmed = on_confirmed
        # Every channel that is wanted, with the future of its confirmation on the present connection.
        self._wanted: dict[str, asyncio.Future[None]] = {}
        # Commands to write: ("SUBSCRIBE" or "UNSUBSCRIBE", channel).
        self._commands: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        # Of the present connection, where it has one.
        self._intake: Intake | None = None
        # Of the present connection.
        self._loop: asyncio.AbstractEventLoop
        # Loop time at which the server was last heard, and at which the outstanding ping was sent (None: none is).
        self._heard_at = 0.0
        self._pinged_at: float | None = None

    async def subscribe(self, channel: str) -> None:
        """Subscribe and wait for the server's confirmation. Cancelling the wait leaves the channel wanted.

        Raises StoreUnavailable if it does not come within the time-out; the channel stays wanted.
        """
        confirmed = self.want(channel)
        if confirmed.done():
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise StoreUnavailable("Redis did not confirm a subscription in time; try again") from error

    def want(self, channel: str) -> "asyncio.Future[None]":
        """Subscribe without waiting; return the future of the confirmation on the present connection."""
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._command("SUBSCRIBE", channel)
        return confirmed

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel; messages that are under way may still arrive."""
        confirmed = self._wanted.pop(channel, None)
        if confirmed is not None:
            confirmed.cancel()
            self._command("UNSUBSCRIBE", channel)

    @property
    def deaf(self) -> bool:
        """Tell whether any wanted channel is unconfirmed at this moment."""
        is_heard = self.connected.is_set() and not self._is_given_up
        return not is_heard or any(not confirmed.done() for confirmed in self._wanted.values())

    def _command(self, verb: str, channel: str) -> None:
        if self._connection is not None:
            self._commands.append((verb, channel))
            self._wake.set()

    async def _greet(self, connection: AbstractConnection) -> None:
        del connection
        self._loop = asyncio.get_running_loop()
        self._commands = [("SUBSCRIBE", channel) for channel in self._wanted]
        self._heard_at, self._pinged_at = self._loop.time(), None
        self._wake.set()

    async def _write(self, connection: AbstractConnection) -> None:
        # Not as a greeting: nothing may be outstanding when the reading begins.
        await self._send(connection, [("PING",)])
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands, self._commands = self._commands, []
            if commands:
                await self._send(connection, self._packed(commands))

    def _packed(self, commands: list[tuple[str, str]]) -> list[tuple[str | bytes | int | float, ...]]:
        packed: list[tuple[str | bytes | int | float, ...]] = []
        for verb, channel in commands:
            name = self._prefix + verb
            if packed and packed[-1][0] == name and len(packed[-1]) < _MOST_CHANNELS_A_COMMAND:
                packed[-1] = (*packed[-1], channel)
            else:
                packed.append((name, channel))
        return packed

    def glance(self) -> None:
        """Hear what has come already, though it is not this connection's turn. See `Intake.glance`."""
        if self._intake is not None:
            self._intake.glance()

    async def _read(self, connection: AbstractConnection) -> None:
        intake = self._intake = intake_of(connection, self._hear)
        try:
            await (read_plainly(connection, self._hear) if intake is None else intake.ended)
        finally:
            self._intake = None

    def _hear(self, reply: Any) -> None:
        if isinstance(reply, ResponseError):
            self._refused(reply)
            return
        self._heard_at, self._pinged_at = self._loop.time(), None
        self._take(reply)

    def _refused(self, error: ResponseError) -> None:
        raise error

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):
            return  # a pong before the first subscription
        kind = reply[0]
        if kind in _MESSAGES:
            self._on_message(reply[1].decode(), reply[2])
        elif kind in _CONFIRMED:
            channel = reply[1].decode()
            confirmed = self._wanted.get(channel)
            if confirmed is not None:
                if not confirmed.done():
                    confirmed.set_result(None)
                self._on_confirmed(channel)

    async def _watch(self) -> None:
        """Ping a silent server; give up the connection when the pong is overdue."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._ping_every_s / 4)
            connection, now = self._connection, loop.time()
            if connection is None or not self.connected.is_set():
                continue
            if self._pinged_at is not None:
                if now - self._pinged_at > self._ping_every_s:
                    await self._give_up("the pong is overdue")
            elif now - self._heard_at > self._ping_every_s:
                self._pinged_at = now
                try:
                    await self._send(connection, [("PING", "andon")])
                except OSError as error:
                    _log.debug("subscriber.ping_failed", error=str(error))  # the reader fails of the same cause

    def _lost(self) -> None:
        loop = asyncio.get_running_loop()
        self._commands.clear()
        for channel, confirmed in self._wanted.items():
            if confirmed.done():
                self._wanted[channel] = loop.create_future()

    def _closed(self) -> None:
        for confirmed in self._wanted.values():
            confirmed.cancel()
        self._wanted.clear()
