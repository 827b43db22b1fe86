import asyncio
import os
import signal
from typing import Any

import pytest
from redis.exceptions import ResponseError

from andon import keys
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.errors import StoreUnavailable
from andon.link import Call
from andon.outlet import packed
from andon.replies import Submitted
from andon.settings import Settings
from andon.store import Store
from andon.transaction import Transaction
from tests.contract.jobs import log_of, submission
from tests.stack.waiting import wait_until


async def test_commands_run_together_bring_all_their_replies(database: Database) -> None:
    """In their order, as each alone would have been answered."""
    replies = await database.together([("SET", "a", "1", "EX", 60), ("GET", "a"), ("DEL", "a")])
    assert replies == [b"OK", b"1", 1]


async def test_what_is_packed_ahead_is_what_the_link_would_send() -> None:
    """The first call of a transaction has the bytes of them all, in whose order the replies are awaited."""
    calls: list[Call] = []
    commands = [("SET", "a", b"\x00\r\n", "EX", 60), ("PEXPIRE", "a", 1_000)]
    Transaction(calls.append, 1.0, commands)
    each = [("MULTI",), *commands, ("EXEC",)]
    assert [call.args for call in calls] == each
    assert calls[0].wire == packed(each)
    assert {call.wire for call in calls[1:]} == {b""}


@pytest.mark.parametrize(
    "command",
    [("NO_SUCH_COMMAND",), ("EVALSHA", "0" * 40, 0), ("INCR", "a")],
    ids=["refused as it comes", "an unknown script", "a failure as it runs"],
)
async def test_a_transaction_with_a_refusal_is_told_as_refused(database: Database, command: tuple[str, ...]) -> None:
    """Whoever called sends the commands one by one then, and is told which; the link goes on."""
    await database.call("SET", "a", "word", "EX", 60)
    assert await database.together([("PEXPIRE", "a", 60_000), command]) is None
    assert await database.call("GET", "a") == b"word"
    await database.call("DEL", "a")


async def test_a_transaction_whose_replies_are_lost_is_unavailable() -> None:
    """Nobody knows whether it ran: its caller repeats what a repeat does not change."""
    with EmbeddedValkey() as server:
        async with Database(server.url, timeout_s=0.5).open() as database:
            await database.wait_connected(15)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(StoreUnavailable):
                    await database.together([("PING",), ("PING",)])
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await wait_until(lambda: database.connected)
            assert await database.together([("PING",)]) == [b"PONG"]


async def test_a_transaction_that_is_not_awaited_any_more_is_not_sent(database: Database) -> None:
    """Its caller went away before the turn was over: all of it stays unsent, so no reply is mixed up."""
    replies = database.together([("SET", "a", "1", "EX", 60), ("SET", "b", "1", "EX", 60)])
    replies.cancel()
    assert await database.call("EXISTS", "a", "b") == 0


async def test_a_submit_is_accepted_where_the_server_has_forgotten_the_script(real_store: Store) -> None:
    """The transaction is refused then; the plain way sends the script in full, once."""
    await real_store.database.everywhere("SCRIPT", "FLUSH")
    made = submission()
    assert (await real_store.submit(made)).tag is Submitted.QUEUED
    assert len(await log_of(real_store, made.response_id)) == 1
    assert await real_store.database.call("EXISTS", keys.job(made.response_id)) == 1


async def test_a_submit_that_was_begun_is_finished_as_any_other(real_store: Store) -> None:
    """It is sent within the call; what it was answered is read later, whatever it is."""
    made = submission()
    begun = real_store.begin_submit(made)
    assert begun is not None
    assert (await real_store.submit(made, begun=begun)).tag is Submitted.QUEUED
    repeated = real_store.begin_submit(made)
    assert (await real_store.submit(made, begun=repeated)).tag is Submitted.DUPLICATE
    refused: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
    refused.set_result(None)
    assert (await real_store.submit(submission(), begun=refused)).tag is Submitted.QUEUED


async def test_the_plain_way_says_what_was_refused(database: Database) -> None:
    """A transaction tells that something was; the commands alone tell what."""
    await database.call("SET", keys.QUEUE, "no stream", "EX", 60)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await Store(database, Settings()).submit(submission())
    await database.call("FLUSHALL")
