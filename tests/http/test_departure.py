"""Noticing that a client leaves, while something is done for it."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from gateway.http.departure import while_there


class _Connection:
    """A client that leaves when it is told to."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


class _Work:
    """Something that takes until it is told; knows whether it was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.finish = asyncio.Event()
        self.was_cancelled = False

    async def run(self) -> str:
        self.begun.set()
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "done"


async def test_work_that_ends_first_is_returned() -> None:
    """And nobody waits for the client any more."""
    connection, work = _Connection(), _Work()
    work.finish.set()
    assert await while_there(connection.receive, work.run()) == "done"


async def test_a_client_that_leaves_first_ends_the_work() -> None:
    """The work is cancelled, and has ended, before the departure is told."""
    connection, work = _Connection(), _Work()
    waiting = asyncio.create_task(while_there(connection.receive, work.run()))
    await work.begun.wait()
    connection.left.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert work.was_cancelled


async def test_both_at_once_is_no_departure() -> None:
    """An answer that is there counts, though its client has gone: a response that has ended needs no stop."""
    connection, work = _Connection(), _Work()
    waiting = asyncio.create_task(while_there(connection.receive, work.run()))
    await work.begun.wait()
    connection.left.set()
    work.finish.set()
    assert await waiting == "done"


async def test_being_cancelled_is_no_departure() -> None:
    """A replica that ends its requests must not look like a client that left: that would be a stop."""
    connection, work = _Connection(), _Work()
    waiting = asyncio.create_task(while_there(connection.receive, work.run()))
    await work.begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.was_cancelled


async def test_a_crash_of_the_work_comes_out_as_itself() -> None:
    """Nothing is swallowed."""

    async def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await while_there(_Connection().receive, crash())
