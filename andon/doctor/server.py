"""Server: one Redis server that holds data, as the doctor sees it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.exceptions import ResponseError

from andon.connection import OpenConnection
from andon.doctor.line import Line, open_line
from andon.link import Argument


class Server:
    """A server, and a line to it. `name`: as it is called in findings."""

    def __init__(
        self, name: str, line: Line, open_connection: OpenConnection, *, is_replica: bool, patience_s: float
    ) -> None:
        self.name = name
        # Whether the topology says so; `topology` compares it with what the server says itself.
        self.is_replica = is_replica
        # In a cluster: a slot that it owns.
        self.slot: int | None = None
        self._line = line
        self._open_connection = open_connection
        self._patience_s = patience_s
        self._info: dict[str, str] | None = None

    async def ask(self, *command: Argument) -> Any:
        """Run one command. Raises NoAnswer or ResponseError."""
        return await self._line.ask(*command)

    def line(self) -> AbstractAsyncContextManager[Line]:
        """Open one more line, to listen on."""
        return open_line(self._open_connection, patience_s=self._patience_s)

    async def info(self) -> dict[str, str]:
        """Read INFO, once. Raises NoAnswer or ResponseError."""
        if self._info is None:
            self._info = parse_info(await self.ask("INFO"))
        return self._info

    async def config(self, name: str) -> str | None:
        """Read one directive; None where the server does not tell it, as managed ones do not."""
        try:
            flat: Sequence[bytes] = await self.ask("CONFIG", "GET", name)
        except ResponseError:
            return None
        return flat[1].decode() if flat else None


def parse_info(text: bytes) -> dict[str, str]:
    """Read the reply of INFO."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}
