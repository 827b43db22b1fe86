"""A process behind a network is seen to be there: one that has a connection past it fails its scenario."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.network import Network
from tests.chaos.proxy import Proxy
from tests.stack.process import Process
from tests.stack.servers import Servers
from tests.stack.waiting import wait_until

# Dials each address of the URL in its environment, says so, and keeps the connections for as long as it lives.
_DIALLER = """
import os, re, socket, time
ports = re.findall(r":([0-9]+)", os.environ["ANDON_REDIS_URL"])
kept = [socket.create_connection(("127.0.0.1", int(port))) for port in ports]
print('{"event": "dialled", "level": "info"}', flush=True)
time.sleep(600)
"""


class _Named(Servers):
    """Servers that others name by their ports."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self._ports = ports

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in self._ports)}"

    @property
    def ports(self) -> list[int]:
        return self._ports

    def start(self) -> None:
        """Nothing: they were started."""


class _Site:
    """Two servers, and dialler processes."""

    def __init__(self, servers: Servers, logs: Path) -> None:
        self.servers = servers
        self._logs = logs
        self.processes: list[Process] = []

    async def dial(self, url: str) -> Process:
        """Start a process, and wait until it has dialled all of this."""
        env = {**os.environ, "ANDON_REDIS_URL": url}
        process = Process(f"dialler-{len(self.processes)}", [sys.executable, "-c", _DIALLER], env, self._logs)
        self.processes.append(process)
        await process.ready("dialled")
        return process


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    """End with all processes ended."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        # The kernel takes connections for them: nobody has to accept any.
        site = _Site(_Named([server.getsockname()[1] for server in (first, second)]), tmp_path)
        try:
            yield site
        finally:
            for process in site.processes:
                process.close()


async def test_a_process_that_dials_its_networks_address_is_behind_it(site: _Site) -> None:
    """Every server of the URL has a proxy there."""
    async with Network(site.servers).open() as network:
        network.belongs_to(await site.dial(network.url))
        network.look()


async def test_a_process_that_dials_past_its_network_is_seen(site: _Site) -> None:
    """Also if it has connections through the network as well."""
    async with Network(site.servers).open() as network:
        process = await site.dial(f"{network.url},{site.servers.url.rpartition(',')[2]}")
        with pytest.raises(AssertionError, match=rf"{process.name} .* past .*{site.servers.ports[1]}"):
            network.belongs_to(process)
        with pytest.raises(AssertionError, match="past its network"):
            network.look()


async def test_a_process_without_any_connection_shows_nothing(site: _Site) -> None:
    """What is refused, or never dials, is not thereby behind the network."""
    async with Network(site.servers).open() as network:
        with pytest.raises(AssertionError, match="no connection to Redis"):
            network.belongs_to(await site.dial(""))


async def test_what_befalls_a_network_befalls_all_of_it(site: _Site) -> None:
    """At once: cut here and standing there would be another fault."""
    async with Network(site.servers).open() as network:
        network.belongs_to(await site.dial(network.url))
        network.befall(Proxy.refuse)
        await wait_until(lambda: not network.is_used)
