import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from andon.database import connection_maker
from andon.embedded import EmbeddedValkey
from andon.intake import intake_of, read_plainly, read_replies
from tests.stack.waiting import wait_until

READERS = pytest.mark.parametrize("read", [read_replies, read_plainly])
PATIENCE_S = 15.0


@pytest.fixture
async def connection(valkey: EmbeddedValkey) -> AsyncIterator[AbstractConnection]:
    made = await connection_maker(valkey.url, timeout_s=PATIENCE_S)()
    yield made
    await made.disconnect(nowait=True)


async def send(connection: AbstractConnection, *commands: tuple[Any, ...]) -> None:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)


class Heard:
    """Replies as they were told, and who waits for a number of them."""

    def __init__(self, number: int) -> None:
        self.replies: list[Any] = []
        self._number = number
        self.all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __call__(self, reply: Any) -> None:
        self.replies.append(reply)
        if len(self.replies) == self._number and not self.all.done():
            self.all.set_result(None)


@READERS
async def test_replies_of_every_kind_are_told_in_order(connection: AbstractConnection, read: Any) -> None:
    """An error is a value like any other: it is its own caller's alone. A large reply comes in many reads."""
    heard = Heard(7)
    reading = asyncio.ensure_future(read(connection, heard))
    await asyncio.sleep(0)  # the reading has begun
    large = b"x" * 1_000_000
    await send(connection, ("ECHO", "a"), ("NOSUCH",), ("ECHO", large), ("GET", "nothing"), ("INCR", "intake"))
    await send(connection, ("EVAL", "return {1, {'two', false}}", 0), ("DEL", "intake"))
    async with asyncio.timeout(PATIENCE_S):
        await heard.all
    first, error, *rest = heard.replies
    assert first == b"a"
    assert isinstance(error, ResponseError)
    assert rest == [large, None, 1, [1, [b"two", None]], 1]
    reading.cancel()


@READERS
async def test_a_lost_connection_ends_the_reading(connection: AbstractConnection, read: Any) -> None:
    """Whoever reads is told, and nothing after that."""
    heard = Heard(1)
    reading = asyncio.ensure_future(read(connection, heard))
    await asyncio.sleep(0)
    await send(connection, ("ECHO", "a"))
    async with asyncio.timeout(PATIENCE_S):
        await heard.all
    await connection.disconnect(nowait=True)
    with pytest.raises((OSError, RedisError)):
        async with asyncio.timeout(PATIENCE_S):
            await reading
    assert heard.replies == [b"a"]


@READERS
async def test_what_the_listener_raises_ends_the_reading(connection: AbstractConnection, read: Any) -> None:
    """As when a server says that it is no master any more: the replies behind are nobody's."""
    told: list[Any] = []

    def refuse(reply: Any) -> None:
        told.append(reply)
        raise OSError("no more of this")

    reading = asyncio.ensure_future(read(connection, refuse))
    await asyncio.sleep(0)
    await send(connection, ("ECHO", "a"), ("ECHO", "b"))
    with pytest.raises(OSError, match="no more of this"):
        async with asyncio.timeout(PATIENCE_S):
            await reading
    assert told == [b"a"]


@READERS
async def test_a_server_that_loads_is_left(connection: AbstractConnection, read: Any) -> None:
    """redis-py takes LOADING for the end of a connection, and so does the intake."""
    reading = asyncio.ensure_future(read(connection, Heard(1)))
    await asyncio.sleep(0)
    await send(connection, ("EVAL", "return redis.error_reply('LOADING it is')", 0))
    with pytest.raises(BusyLoadingError):
        async with asyncio.timeout(PATIENCE_S):
            await reading


async def test_a_glance_tells_what_has_come_before_its_turn_and_nothing_twice(connection: AbstractConnection) -> None:
    """Within one turn of the loop, in which the transport could not have told it."""
    heard: list[Any] = []
    intake = intake_of(connection, heard.append)
    assert intake is not None
    intake.glance()  # nothing has come
    await send(connection, ("ECHO", "a"), ("ECHO", "b"))
    deadline = time.monotonic() + PATIENCE_S
    while len(heard) < 2 and time.monotonic() < deadline:
        intake.glance()
    assert heard == [b"a", b"b"]
    await send(connection, ("ECHO", "c"))
    await wait_until(lambda: len(heard) > 2)
    assert heard == [b"a", b"b", b"c"]


async def test_a_glance_after_the_end_reads_nothing(
    connection: AbstractConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptor may be another's by then."""
    intake = intake_of(connection, lambda _: None)
    assert intake is not None
    await connection.disconnect(nowait=True)
    with pytest.raises((OSError, RedisError)):
        async with asyncio.timeout(PATIENCE_S):
            await intake.ended
    # Whatever has the number now keeps what is sent to it.
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.send(b"+not for you\r\n")
        monkeypatch.setattr(intake, "_descriptor", mine.fileno())
        intake.glance()
        assert mine.recv(100) == b"+not for you\r\n"
