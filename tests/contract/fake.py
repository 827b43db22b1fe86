"""A `Database` on fakeredis: the scripts once more, in process, on another Lua and another implementation."""

import asyncio
from collections.abc import Sequence
from typing import Any

import fakeredis
from redis.exceptions import ResponseError

from andon.database import Database
from andon.link import Argument
from andon.script import Script


class FakeDatabase(Database):
    """Runs each command at once and returns its reply as a finished future, in the order of the calls."""

    def __init__(self) -> None:
        # A server of its own: shared with no other test.
        self._client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), protocol=2)
        self._client.response_callbacks.clear()  # replies as `Link` gives them

    def call(self, *args: Argument, timeout_s: float | None = None) -> "asyncio.Future[Any]":
        """Run one command."""
        del timeout_s
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            reply.set_result(self._client.execute_command(*args))  # type: ignore[no-untyped-call]
        except ResponseError as error:
            reply.set_exception(error)
        return reply

    def together(self, commands: Sequence[tuple[Argument, ...]]) -> "asyncio.Future[list[Any] | None]":
        """Have no transactions: what would be one is run command by command."""
        del commands
        refused: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        refused.set_result(None)
        return refused

    def go(self) -> None:
        """Have nothing to send: all ran when it was called."""

    def eval(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> "asyncio.Future[Any]":
        """Run a script without its shebang, which fakeredis cannot load."""
        return self.call("EVAL", script.without_flags(), len(keys), *keys, *args)
