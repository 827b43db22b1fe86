import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import DataError, ResponseError

from andon.database import Database, connection_maker
from andon.embedded import EmbeddedValkey
from andon.errors import StoreUnavailable
from andon.link import Argument, Call, Link
from andon.outlet import Outlet
from andon.response import Status
from tests.stack.waiting import wait_until

DEADLINE_S = 0.4


class WatchedLink(Link):
    """A link whose writes are counted: commands a write."""

    writes: list[int]

    async def _write(self, connection: AbstractConnection) -> None:
        self.writes = []
        await super()._write(connection)

    def _departing(self) -> list[Call]:
        calls = super()._departing()
        if calls:
            self.writes.append(sum(call.args[0] == "ECHO" for call in calls))
        return calls


@pytest.fixture
async def link(valkey: EmbeddedValkey) -> AsyncIterator[WatchedLink]:
    made = WatchedLink(connection_maker(valkey.url, timeout_s=2.0), timeout_s=DEADLINE_S)
    async with made.open():
        await made.connected.wait()
        yield made


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """Give a server that this test may freeze."""
    with EmbeddedValkey() as server:
        yield server


async def test_replies_come_to_their_calls_in_order(link: WatchedLink) -> None:
    """The thousandth call gets the thousandth reply."""
    replies = await asyncio.gather(*(link.call("ECHO", number) for number in range(1000)))
    assert replies == [str(number).encode() for number in range(1000)]


async def test_calls_of_one_turn_go_out_in_one_write(link: WatchedLink) -> None:
    """A command alone costs some ten times the CPU of one in a batch."""
    await asyncio.gather(*(link.call("ECHO", number) for number in range(500)))
    assert sum(link.writes) == 500
    assert len(link.writes) <= 2


async def test_what_hurries_is_written_in_the_call_and_takes_along_what_was_called_before(link: WatchedLink) -> None:
    """A stop leaves with its audit, and waits for nothing else of this turn."""
    link.writes.clear()
    early = link.call("ECHO", "early")
    link.hold()
    held = [link.call("ECHO", number) for number in range(2)]
    assert link.writes == []
    link.go()
    assert link.writes == [3]
    late = link.call("ECHO", "late")
    assert [await reply for reply in (early, *held, late)] == [b"early", b"0", b"1", b"late"]
    assert link.writes == [3, 1]


async def test_many_that_hurry_in_one_turn_share_writes(link: WatchedLink) -> None:
    """The first goes alone, so that Redis begins; a thousand writes would take longer than they save."""
    link.writes.clear()
    replies = []
    for number in range(100):
        link.hold()
        replies.append(link.call("ECHO", number))
        link.go()
    assert link.writes[0] == 1
    assert await asyncio.gather(*replies) == [str(number).encode() for number in range(100)]
    assert sum(link.writes) == 100
    assert len(link.writes) <= 20
    # The next turn begins anew.
    link.hold()
    last = link.call("ECHO", "last")
    link.go()
    assert link.writes[-1] == 1
    assert await last == b"last"


async def test_what_was_held_while_no_connection_stands_goes_out_on_the_next(link: WatchedLink) -> None:
    """Within its deadline, like any other call."""
    assert link._connection is not None  # noqa: SLF001  the server's side of it would be another's
    await link._connection.disconnect(nowait=True)  # noqa: SLF001
    await wait_until(lambda: not link.connected.is_set() or link._outlet is None)  # noqa: SLF001
    link.hold()
    reply = link.call("ECHO", "held", timeout_s=10)
    link.go()
    assert await reply == b"held"


async def test_calls_do_not_wait_for_replies_of_others(link: WatchedLink, database: Database) -> None:
    """Commands that are called while others are in flight follow at once."""
    await database.call("DEL", "list")
    blocked = link.call("BLPOP", "list", 5, timeout_s=5)
    await wait_until(lambda: not link._unsent)  # noqa: SLF001  the one place where it shows that it was written
    behind = link.call("ECHO", "behind")
    await database.call("RPUSH", "list", "x")
    assert await blocked == [b"list", b"x"]
    assert await behind == b"behind"


async def test_call_many_are_neighbours(link: WatchedLink) -> None:
    """A transaction's commands stay together on the wire."""
    queued = link.call_many([("MULTI",), ("ECHO", 1), ("ECHO", 2), ("EXEC",)])
    stray = link.call("ECHO", 3)
    assert (await asyncio.gather(*queued))[-1] == [b"1", b"2"]
    assert await stray == b"3"


async def test_an_error_reply_is_its_own_callers_alone(link: WatchedLink) -> None:
    """Neighbours in the pipeline get their replies."""
    before, bad, after = link.call("ECHO", 1), link.call("NOSUCH"), link.call("ECHO", 2)
    with pytest.raises(ResponseError, match="unknown command"):
        await bad
    assert (await before, await after) == (b"1", b"2")


async def kill_clients(database: Database, link: WatchedLink) -> None:
    """Kill the link's connection from the server's side."""
    number = await link.call("CLIENT", "ID")
    assert await database.call("CLIENT", "KILL", "ID", number) == 1


async def test_a_killed_connection_fails_what_is_in_flight_and_then_recovers(
    link: WatchedLink, database: Database
) -> None:
    """Nobody knows what ran, so it is StoreUnavailable; later calls go over a new connection."""
    blocked = link.call("BLPOP", "nothing", 0, timeout_s=30)
    await wait_until(lambda: bool(link._in_flight))  # noqa: SLF001
    await database.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(2):
            await blocked
    assert await link.call("ECHO", "again", timeout_s=2) == b"again"


async def test_nothing_is_sent_twice(link: WatchedLink, database: Database) -> None:
    """Lost replies cost their callers an error, never a second run: counts stay at or below the calls."""
    await database.call("SET", "count", 0, "PX", 60_000)
    outcomes: list[Any] = []
    for _ in range(20):
        calls = [link.call("INCR", "count", timeout_s=2) for _ in range(50)]
        killed = database.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        outcomes += await asyncio.gather(*calls, return_exceptions=True)
        await killed
    answered = sum(isinstance(outcome, int) for outcome in outcomes)
    assert all(isinstance(outcome, int | StoreUnavailable) for outcome in outcomes)
    assert answered <= int(await database.call("GET", "count")) <= 1000


async def test_a_call_made_while_disconnected_is_sent_after_the_reconnect(
    link: WatchedLink, database: Database
) -> None:
    """An outage shorter than the deadline costs time, no error."""
    await kill_clients(database, link)
    await wait_until(lambda: not link.connected.is_set())
    assert await link.call("ECHO", "patient", timeout_s=2) == b"patient"


async def test_a_call_without_a_server_fails_at_its_deadline() -> None:
    """No call waits longer than its deadline, connection or not."""
    loop = asyncio.get_running_loop()
    link = Link(connection_maker("unix:///nowhere/andon.sock", timeout_s=1.0), timeout_s=DEADLINE_S)
    async with link.open():
        began = loop.time()
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await link.call("PING")
        assert DEADLINE_S <= loop.time() - began < DEADLINE_S + 0.5


async def test_calls_that_are_open_when_the_link_closes_fail() -> None:
    """Nobody waits for a link that is gone."""
    link = Link(connection_maker("unix:///nowhere/andon.sock", timeout_s=1.0), timeout_s=30)
    async with link.open():
        call = link.call("PING")
    with pytest.raises(StoreUnavailable, match="closed"):
        await call


async def test_a_frozen_server_costs_one_deadline_not_one_a_call(own_valkey: EmbeddedValkey) -> None:
    """An overdue reply gives up the connection; all that was in flight fails with it, and a thaw is found again."""
    loop = asyncio.get_running_loop()
    link = Link(connection_maker(own_valkey.url, timeout_s=DEADLINE_S), timeout_s=DEADLINE_S)
    async with link.open():
        assert await link.call("PING") == b"PONG"
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            began = loop.time()
            first = [link.call("ECHO", number) for number in range(20)]
            outcomes = await asyncio.gather(*first, return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
            assert DEADLINE_S <= loop.time() - began < DEADLINE_S + 0.5
            with pytest.raises(StoreUnavailable):
                await link.call("PING")
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        assert await link.call("ECHO", "thawed", timeout_s=5) == b"thawed"


@pytest.mark.parametrize("seed", range(3))
async def test_cancelled_callers_shift_no_reply(link: WatchedLink, seed: int) -> None:
    """A storm of cancels, at any moment of a call, never gives one caller the reply of another."""
    chance = random.Random(seed)
    answered = 0

    async def caller(number: int) -> None:
        nonlocal answered
        for turn in range(20):
            args: tuple[Argument, ...] = ("ECHO", f"{number}-{turn}")
            if chance.random() < 0.5:
                task = asyncio.ensure_future(link.call(*args, timeout_s=5))
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            else:
                assert await link.call(*args, timeout_s=5) == f"{number}-{turn}".encode()
                answered += 1

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(caller(number))
    assert answered > 500


async def test_too_many_unsent_calls_fail_at_once() -> None:
    """The queue of unsent commands is bounded: beyond it, calls fail instead of filling memory."""
    link = Link(connection_maker("unix:///nowhere/andon.sock", timeout_s=1.0), timeout_s=30)
    async with link.open():
        calls = [link.call("PING") for _ in range(20_001)]
        assert not any(call.done() for call in calls[:-1])
        with pytest.raises(StoreUnavailable, match="too many"):
            await calls[-1]


@pytest.fixture(params=["at once", "by the writer's task"])
def way_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way out in turn: the task's is the plain one."""
    if request.param != "at once":
        monkeypatch.setattr("andon.link.outlet_of", lambda _: None)


@pytest.mark.usefixtures("way_out")
async def test_commands_are_the_same_whichever_way_they_go_out(link: WatchedLink) -> None:
    """Text, bytes, numbers, and members of enumerations, which hiredis does not take."""
    given: tuple[Argument, ...] = ("é", b"\xff\n", 7, 1.5, 1e22, 1e-7, Status.CANCELLED, "x" * 300_000)
    assert await asyncio.gather(*(link.call("ECHO", argument) for argument in given)) == [
        "é".encode(), b"\xff\n", b"7", b"1.5", b"1e+22", b"1e-07", b"cancelled", b"x" * 300_000,
    ]  # fmt: skip


async def test_what_is_no_argument_fails_its_call_alone(link: WatchedLink) -> None:
    """A fault of ours does not take the connection from others."""
    before, wrong, after = link.call("ECHO", 1), link.call("ECHO", None), link.call("ECHO", 2)  # type: ignore[arg-type]
    assert (await before, await after) == (b"1", b"2")
    with pytest.raises(DataError):
        await wrong


async def test_more_than_the_server_takes_waits_and_comes_in_order(own_valkey: EmbeddedValkey) -> None:
    """Written at once until the transport is behind, then as the server takes it."""
    link = Link(connection_maker(own_valkey.url, timeout_s=15), timeout_s=15)
    async with link.open():
        await link.connected.wait()
        os.kill(own_valkey.pid, signal.SIGSTOP)
        calls = []
        for number in range(200):
            calls.append(link.call("ECHO", str(number).encode() + b"x" * 10_000))
            await asyncio.sleep(0)
        os.kill(own_valkey.pid, signal.SIGCONT)
        replies = [(await call).rstrip(b"x") for call in calls]
        assert replies == [str(number).encode() for number in range(200)]


async def test_a_write_at_once_into_a_transport_that_has_just_closed_is_a_lost_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as by the writer's task, below."""
    assert await database.call("PING") == b"PONG"
    write = Outlet.write
    failures = [RuntimeError("unable to perform operation on <UnixTransport closed=True>; the handler is closed")]

    def closing(self: Outlet, commands: Any) -> None:
        if failures:
            raise failures.pop()
        write(self, commands)

    monkeypatch.setattr(Outlet, "write", closing)
    with pytest.raises(StoreUnavailable):
        await database.call("PING")
    assert await database.call("PING") == b"PONG"


async def test_a_write_into_a_transport_that_has_just_closed_is_a_lost_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said by uvloop as RuntimeError: it costs the calls in flight, and never the process."""
    assert await database.call("PING") == b"PONG"
    monkeypatch.setattr(Outlet, "is_behind", True)
    send = AbstractConnection.send_packed_command
    failures = [RuntimeError("unable to perform operation on <UnixTransport closed=True>; the handler is closed")]

    async def closing(self: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        await send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", closing)
    with pytest.raises(StoreUnavailable):
        await database.call("PING")
    assert await database.call("PING") == b"PONG"
