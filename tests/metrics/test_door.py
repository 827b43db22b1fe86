"""The worker's listener: two paths, bounded in everything, and a start that says why it fails."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from andon.errors import StartError
from tests.stack.process import ROOT
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until
from worker.metrics_door import MetricsDoor

_WELL = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Door:
    """An open door, and what it asks."""

    def __init__(self) -> None:
        self.port = 0
        self.is_well = True
        self.accepts: list[str] = []

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Give a text."""
        self.accepts.append(accept)
        return b"andon_up 1\n", "text/x-metrics"

    async def ask(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    async with MetricsDoor(made.exposition, lambda: made.is_well).open("127.0.0.1", 0) as made.port:
        yield made


async def test_it_gives_the_metrics_as_they_are_accepted(door: Door) -> None:
    """With their content type and length; the connection is closed behind them."""
    answer = await door.ask(b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\naccept: text/plain\r\nAccept: a/b\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/x-metrics\r\n" in head
    assert b"\r\nContent-Length: 11\r\n" in head
    assert body == b"andon_up 1\n"
    assert door.accepts == ["text/plain,a/b"]


async def test_it_says_whether_the_worker_is_well(door: Door) -> None:
    """200, or 503 with the reason; a HEAD gets no body."""
    assert (await door.ask(_WELL)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert (await door.ask(_WELL.replace(b"GET", b"HEAD"))).endswith(b"\r\n\r\n")
    door.is_well = False
    answer = await door.ask(_WELL)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"no lease" in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../healthz HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"405"),
        (b"\r\n\r\n", b"405"),
        (b"\xff\xfe \r\n\r\n", b"405"),
    ],
)
async def test_nothing_else_is_to_be_had(door: Door, request_: bytes, status: bytes) -> None:
    """No other path, no other method, nothing that is no HTTP."""
    assert (await door.ask(request_)).startswith(b"HTTP/1.1 " + status)


async def test_a_head_without_end_is_cut(door: Door) -> None:
    """Before it fills the memory; the door stays open to others."""
    assert await door.ask(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000) == b""
    assert (await door.ask(_WELL)).startswith(b"HTTP/1.1 200")


async def test_who_says_nothing_keeps_nobody_out() -> None:
    """So many at once and no more; they are cut when their time is over, and others get in."""
    door = Door()
    async with MetricsDoor(door.exposition, lambda: True, request_s=1.0).open("127.0.0.1", 0) as door.port:
        silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(40)]

        async def is_let_in() -> bool:
            return (await door.ask(_WELL)).startswith(b"HTTP/1.1 200")

        await wait_until(is_let_in, 45)
        for _, writer in silent:
            writer.close()


async def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    """By the start's own error, which names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match="ANDON_METRICS_PORT"):
            async with MetricsDoor(Door().exposition, lambda: True).open("127.0.0.1", port):
                pass


async def test_a_worker_whose_port_is_taken_does_not_start(bare: Stack) -> None:
    """It exits with 1 and one line, and claims nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {**bare.environment(ANDON_METRICS_PORT=str(taken.getsockname()[1])), "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-m", "worker"]
        done = await asyncio.to_thread(
            subprocess.run, argv, env=env, capture_output=True, text=True, timeout=50, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("andon worker: cannot listen on 127.0.0.1:")
    assert "Traceback" not in done.stderr
