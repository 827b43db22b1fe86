"""Network: the proxies through which one process has all its connections to Redis, and what they suffer at once.

Owns a proxy in front of each server: of the one, of each sentinel and data server, or of each node. Where servers say
themselves where the others are, the process hears of proxies instead (`tests.chaos.disguise`), of those of servers
that become masters later, too. Owns the proof that nothing goes past it, by the kernel's table of the process's
connections: without that a scenario that breaks the network would show nothing.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

from tests.chaos.disguise import Disguise
from tests.chaos.proxy import Proxy, Way
from tests.stack.process import Process
from tests.stack.servers import Servers, Standalone

Fault: TypeAlias = Callable[[Proxy], None]

_PORT: Final = re.compile(r"(?<=127\.0\.0\.1:)\d+")


class _NodeProxy(Proxy):
    """In front of one of several servers. `ports`: of all of them, to those of their proxies."""

    def __init__(self, port: int, ports: dict[int, int]) -> None:
        super().__init__(port)
        self._ports = ports

    def _translation(self, way: Way) -> Callable[[bytes], bytes]:
        return Disguise(self._ports).translate if way is Way.DOWN else super()._translation(way)


class Network:
    """All that lies between a process and these servers, which run."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        # By the port of the server behind it; by 0, that of the one server that has a socket.
        self._proxies: dict[int, Proxy] = {}
        # Of servers that name each other: their own, and that of the proxy in front.
        self._ports: dict[int, int] = {}
        # Whose network this is; None before that has started.
        self._process: Process | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Network"]:
        """Listen for as long as the block lasts."""
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(self._servers, Standalone):
                socket = Path(self._servers.url.removeprefix("unix://"))
                self._proxies[0] = await stack.enter_async_context(Proxy(socket).open())
            for port in self._servers.ports:
                proxy = await stack.enter_async_context(_NodeProxy(port, self._ports).open())
                self._proxies[port], self._ports[port] = proxy, proxy.port
            yield self

    @property
    def url(self) -> str:
        """The address for the process's ANDON_REDIS_URL."""
        if isinstance(self._servers, Standalone):
            return self._proxies[0].url
        return _PORT.sub(lambda port: str(self._ports[int(port[0])]), self._servers.url)

    def befall(self, fault: Fault, *, before: Collection[int] | None = None) -> None:
        """Let this happen to all of it at one moment, or only `before` servers of these ports."""
        for port, proxy in self._proxies.items():
            if before is None or port in before:
                fault(proxy)

    def heal(self) -> None:
        """Pass everything again, everywhere."""
        self.befall(Proxy.heal)

    # ── the proof ────────────────────────────────────────────────────────────────────────────────────────────────

    def belongs_to(self, process: Process) -> None:
        """Take note of whose network this is, once it is ready. Asserts that it goes through here."""
        self._process = process
        assert self.is_used, f"{process.name} has no connection to Redis through its network"
        self.look()

    @property
    def is_used(self) -> bool:
        """Tell whether the process has a connection through here, now."""
        mine = {proxy.port for proxy in self._proxies.values()}
        return any(row.raddr.port in mine for row in self._dialled() if row.status == psutil.CONN_ESTABLISHED)

    def look(self) -> None:
        """Assert that the process has no connection past the network, nor tries to have one."""
        past = {row.raddr.port for row in self._dialled()} & set(self._servers.ports)
        assert not past, f"{self._process and self._process.name} has connections past its network, to {sorted(past)}"

    def _dialled(self) -> list[Any]:
        """Return the connections of the process, as the kernel says; none if it has ended."""
        if self._process is None or self._process.exit_code is not None:
            return []
        table: list[Any] = psutil.Process(self._process.pid).net_connections(kind="tcp")
        return [row for row in table if row.raddr]  # without: it listens
