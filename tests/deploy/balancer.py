"""Balancer: nginx with the configuration of docker-compose.yml, in front of real gateways.

Owns the process and what is put into that file: the addresses of the gateways, its own, and a directory for /tmp.
Everything else is as it is shipped; a line that is not found fails the test.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from andon.supervised import spawn
from tests.delivery.nginx import binary
from tests.stack.waiting import wait_until

from .tools import ROOT

_CONFIG = ROOT / "docker-compose.nginx.conf"


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running nginx."""

    port: int
    home: Path

    @property
    def url(self) -> str:
        """The WebSocket endpoint behind it."""
        return f"ws://127.0.0.1:{self.port}/v1/responses"

    @property
    def http(self) -> str:
        """The base for HTTP, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[str]:
        """Return the access log: a line for each request that has ended."""
        return (self.home / "output.log").read_text(encoding="utf-8").splitlines()


@asynccontextmanager
async def in_front_of(gateway_ports: list[int], home: Path) -> AsyncIterator[Balancer]:
    """Run nginx in front of these two gateways for the length of a block."""
    nginx = binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = home / "nginx.conf"
    config.write_text(_with_addresses(gateway_ports, port, home), encoding="utf-8")
    argv = [nginx, "-p", str(home), "-e", "stderr", "-c", str(config), "-g", "daemon off; master_process off;"]
    with (home / "output.log").open("ab") as output:
        process = spawn(argv, output=output)
    balancer = Balancer(port, home)
    try:
        await wait_until(lambda: process.poll() is not None or _listens(port), 30, what="nginx listens")
        assert process.poll() is None, balancer.requests()
        yield balancer
    finally:
        process.kill()
        process.wait()


def _with_addresses(gateway_ports: list[int], port: int, home: Path) -> str:
    text = _CONFIG.read_text(encoding="utf-8")
    put = {f"gateway-{n}:21100": f"127.0.0.1:{gateway}" for n, gateway in enumerate(gateway_ports, 1)}
    put |= {"listen 8080;": f"listen 127.0.0.1:{port};", "/tmp/": f"{home}/"}
    for shipped, here in put.items():
        assert shipped in text, f"{_CONFIG.name} has no {shipped!r}"
        text = text.replace(shipped, here)
    return text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
