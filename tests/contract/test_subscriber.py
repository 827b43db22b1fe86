import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis.exceptions
from redis.asyncio.connection import AbstractConnection

from andon.database import Database, connection_maker
from andon.embedded import EmbeddedValkey
from andon.errors import StoreUnavailable
from andon.subscriber import Subscriber
from tests.stack.waiting import wait_until

PING_EVERY_S = 0.2


class Ear:
    """A subscriber and all it was told."""

    def __init__(self, url: str, *, sharded: bool, timeout_s: float = 2.0) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.confirmed: list[str] = []
        self.subscriber = Subscriber(
            connection_maker(url, timeout_s=timeout_s),
            sharded=sharded,
            timeout_s=timeout_s,
            ping_every_s=PING_EVERY_S,
            on_message=lambda channel, message: self.messages.append((channel, message)),
            on_confirmed=self.confirmed.append,
        )
        self.publish = "SPUBLISH" if sharded else "PUBLISH"


@pytest.fixture(params=[False, True], ids=["plain", "sharded"])
async def ear(request: pytest.FixtureRequest, valkey: EmbeddedValkey) -> AsyncIterator[Ear]:
    made = Ear(valkey.url, sharded=request.param)
    async with made.subscriber.open():
        yield made


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """Give a server that this test may freeze."""
    with EmbeddedValkey() as server:
        yield server


async def kill_subscribers(database: Database) -> None:
    """Kill every pub/sub connection from the server's side."""
    await database.call("CLIENT", "KILL", "TYPE", "pubsub")


async def test_whatever_is_published_after_subscribe_returned_arrives(ear: Ear, database: Database) -> None:
    """`subscribe` returns once the server has confirmed; messages come in order."""
    await ear.subscriber.subscribe("c")
    assert ear.confirmed == ["c"]
    for number in range(100):
        assert await database.call(ear.publish, "c", number) == 1
    await wait_until(lambda: len(ear.messages) == 100)
    assert ear.messages == [("c", str(number).encode()) for number in range(100)]


async def test_a_second_subscribe_is_no_second_subscription(ear: Ear, database: Database) -> None:
    """However many hold a channel, each message comes once."""
    await asyncio.gather(*(ear.subscriber.subscribe("c") for _ in range(5)))
    await database.call(ear.publish, "c", "x")
    await database.call(ear.publish, "c", "last")
    await wait_until(lambda: ("c", b"last") in ear.messages)
    assert len(ear.messages) == 2
    assert ear.confirmed == ["c"]


async def test_a_killed_connection_is_subscribed_anew_and_says_so(ear: Ear, database: Database) -> None:
    """Each later confirmation is told too: what was published before it may have been missed."""
    await asyncio.gather(*(ear.subscriber.subscribe(channel) for channel in ("a", "b")))
    ear.confirmed.clear()
    await kill_subscribers(database)
    await wait_until(lambda: sorted(ear.confirmed) == ["a", "b"])
    assert not ear.subscriber.deaf
    assert await database.call(ear.publish, "a", "after") == 1
    await wait_until(lambda: ear.messages == [("a", b"after")])


async def test_an_unsubscribed_channel_is_silent_also_after_a_reconnect(ear: Ear, database: Database) -> None:
    """Nobody pays for a session that nobody follows."""
    await asyncio.gather(*(ear.subscriber.subscribe(channel) for channel in ("keep", "leave")))
    ear.subscriber.unsubscribe("leave")
    ear.subscriber.unsubscribe("leave")

    async def is_left() -> bool:
        return bool(await database.call(ear.publish, "leave", "x") == 0)

    await wait_until(is_left)
    ear.confirmed.clear()
    await kill_subscribers(database)
    await wait_until(lambda: ear.confirmed == ["keep"])
    assert await database.call(ear.publish, "leave", "x") == 0


async def test_a_channel_left_and_wanted_again_is_heard(ear: Ear, database: Database) -> None:
    """Unsubscribe and subscribe in one turn end subscribed."""
    await ear.subscriber.subscribe("c")
    ear.subscriber.unsubscribe("c")
    await ear.subscriber.subscribe("c")
    await wait_until(lambda: ear.confirmed == ["c", "c"])
    assert await database.call(ear.publish, "c", "x") == 1


@pytest.mark.parametrize("sharded", [False, True], ids=["plain", "sharded"])
async def test_thousands_of_channels_are_confirmed_and_come_back(
    valkey: EmbeddedValkey, database: Database, sharded: bool
) -> None:
    """A gateway holds one channel a session; a reconnect takes them all up again."""
    channels = [f"c{number}" for number in range(5000)]
    # Patient: a starved machine may take seconds, and a pong that is overdue means once more from the start.
    ear = Ear(valkey.url, sharded=sharded, timeout_s=20.0)
    async with ear.subscriber.open():
        await asyncio.gather(*(ear.subscriber.subscribe(channel) for channel in channels))
        assert set(ear.confirmed) == set(channels)
        ear.confirmed.clear()
        await kill_subscribers(database)
        await wait_until(lambda: set(ear.confirmed) == set(channels), timeout_s=30)
        await wait_until(lambda: not ear.subscriber.deaf, timeout_s=30)
        assert await database.call(ear.publish, "c4999", "x") == 1


async def test_a_cancelled_subscribe_stays_wanted(ear: Ear) -> None:
    """Cancelling the wait is safe: the channel is confirmed all the same."""
    waiting = asyncio.ensure_future(ear.subscriber.subscribe("c"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await ear.subscriber.subscribe("c")
    assert ear.confirmed == ["c"]


async def test_a_silent_but_living_server_keeps_its_connection(ear: Ear, database: Database) -> None:
    """The pings are answered, so silence alone reconnects nothing."""
    await ear.subscriber.subscribe("c")

    async def pinged() -> bool:
        listed = await database.call("CLIENT", "LIST", "TYPE", "pubsub")
        return b"cmd=ping" in listed

    await wait_until(pinged)
    await asyncio.sleep(PING_EVERY_S * 4)  # the time in which a pong would be overdue
    assert ear.confirmed == ["c"]
    assert not ear.subscriber.deaf


@pytest.mark.parametrize("sharded", [False, True])
async def test_a_frozen_server_is_noticed_within_the_ping_deadline(
    own_valkey: EmbeddedValkey, *, sharded: bool
) -> None:
    """A subscriber that can't hear knows it, and hears again after the thaw."""
    ear = Ear(own_valkey.url, sharded=sharded, timeout_s=PING_EVERY_S)
    async with ear.subscriber.open():
        await ear.subscriber.connected.wait()
        await ear.subscriber.subscribe("c")
        loop = asyncio.get_running_loop()
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            frozen_at = loop.time()
            await wait_until(lambda: ear.subscriber.deaf)
            # Silence for one ping's time, a pong's time, and the looks between them.
            assert loop.time() - frozen_at < PING_EVERY_S * 3 + 0.5
            with pytest.raises(StoreUnavailable):
                await ear.subscriber.subscribe("d")
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        await wait_until(lambda: not ear.subscriber.deaf)
        assert ear.confirmed.count("c") == 2
        assert ear.confirmed.count("d") == 1


async def test_a_subscribe_without_a_server_fails_in_time() -> None:
    """Every wait has a deadline; the channel stays wanted for the day the server comes."""
    ear = Ear("unix:///nowhere/andon.sock", sharded=False, timeout_s=0.1)
    async with ear.subscriber.open():
        with pytest.raises(StoreUnavailable):
            await ear.subscriber.subscribe("c")
        assert ear.subscriber.deaf


@pytest.mark.parametrize(
    "failure",
    [
        redis.exceptions.ConnectionError("Error UNKNOWN while writing to socket. Connection lost."),
        redis.exceptions.TimeoutError("Timeout writing to socket"),
        RuntimeError("unable to perform operation on <UnixTransport closed=True>; the handler is closed"),
        BrokenPipeError("Broken pipe"),
    ],
    ids=lambda failure: f"{type(failure).__module__}.{type(failure).__name__}",
)
async def test_a_ping_into_a_connection_that_has_just_closed_does_not_end_the_subscriber(
    ear: Ear, database: Database, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Whoever notices a lost connection first, reader or ping, it is opened again and its channels confirmed anew."""
    await ear.subscriber.subscribe("c")
    send = AbstractConnection.send_packed_command
    failures = [failure]

    async def closing(self: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        if failures:
            await self.disconnect(nowait=True)
            raise failures.pop()
        await send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", closing)
    await wait_until(lambda: len(ear.confirmed) == 2)
    assert failures == []
    await database.call(ear.publish, "c", "heard")
    await wait_until(lambda: ear.messages == [("c", b"heard")])
