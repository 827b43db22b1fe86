import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from andon.sim.server import SimOptions, run, serve

from .door import KEY, Door, request

PROGRAM = """
from andon.sim.server import SimOptions, run
run("127.0.0.1", 0, SimOptions(rate=100, ttft_s=0, tokens=10_000), announce=lambda line: print(line, flush=True))
"""


@asynccontextmanager
async def _process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a sim of its own, warnings as errors; gives its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        prefix, _, base_url = line.strip().rpartition(" ")
        assert prefix == "sim listening on"
        yield process, base_url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_cuts_open_streams_and_exits_zero(number: signal.Signals) -> None:
    """The announced address serves; the signal ends all at once, without a word on stderr or a key in it."""
    async with _process() as (process, base_url), httpx2.AsyncClient(base_url=base_url) as http:
        body = request("responses", "sim", stream=True)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with http.stream("POST", "/responses", json=body, headers=headers) as reply:
            chunks = reply.aiter_raw()
            await anext(chunks)
            process.send_signal(number)
            with pytest.raises(httpx2.TransportError):
                await _drain(chunks)
        async with asyncio.timeout(5):
            _, stderr = await process.communicate()
        assert (process.returncode, stderr) == (0, b"")


def test_a_taken_port_is_one_clear_line() -> None:
    """The start fails with a SystemExit whose message names the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"^sim: cannot listen on 127\.0\.0\.1:{port}: .*in use") as raised:
            run("127.0.0.1", port, SimOptions())
    assert "\n" not in str(raised.value)


async def test_a_taken_port_in_process_is_an_oserror() -> None:
    """A test that asks for a port sees why it cannot have it."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with serve(SimOptions(), port=taken.getsockname()[1]):
            pass


async def test_leaving_the_block_leaves_nothing_behind(sim: Door) -> None:
    """Open streams are cut, their tasks end, the port is free; an error in the block comes out as it was."""
    before = asyncio.all_tasks()
    urls: list[str] = []
    calls: list[asyncio.Task[httpx2.Response]] = []

    async def fail_in_the_block() -> None:
        async with serve(SimOptions(rate=1, ttft_s=0)) as base_url:
            urls.append(base_url)
            body = request("responses", "sim-stall", stream=True)
            calls.append(asyncio.create_task(sim.http.post(f"{base_url}/responses", json=body)))
            await sim.http.get(f"{base_url}/meter?until=open")
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        await fail_in_the_block()
    with pytest.raises(httpx2.TransportError):
        await calls[0]
    assert asyncio.all_tasks() == before
    with pytest.raises(httpx2.ConnectError):
        await sim.http.get(f"{urls[0]}/healthz")


async def test_ipv6_is_announced_in_brackets() -> None:
    """The base URL of an IPv6 address is one that a client takes."""
    async with serve(SimOptions(rate=0, ttft_s=0), host="::1") as base_url, httpx2.AsyncClient() as http:
        assert base_url.startswith("http://[::1]:")
        assert (await http.get(f"{base_url}/healthz")).status_code == 200
