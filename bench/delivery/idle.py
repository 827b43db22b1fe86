"""Idle: what a socket costs a gateway that holds thousands of them, and whether a stop is still quick.

Run as `python -m bench.delivery.idle [--sockets 5000]`. Memory is the growth of the gateway process' resident set
between no socket and all of them; a stop is timed from the send of `response.cancel` to `response.cancel.accepted`,
and to the instant at which the model server saw its connection closed.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.delivery.reader import Reader
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_AT_ONCE = 50
_STOPS = 50


async def main(sockets: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as logs:
        async with Stack(Path(logs), gateways=1, workers=1, env={"ANDON_LOG_LEVEL": "info"}) as stack:
            await _measure(stack, sockets)


async def _measure(stack: Stack, count: int) -> None:
    gateway = stack.gateways[0]
    process = psutil.Process(gateway.pid)
    stops = await _stops(stack)  # warms everything up, and is what the others are compared with
    print(f"stop with 1 socket: {stops}")
    before = process.memory_info().rss
    limit = asyncio.Semaphore(_AT_ONCE)

    async def open_one(number: int) -> Reader:
        async with limit:
            return await Reader.open(gateway.port, session=f"idle-{number}")

    began = time.monotonic()
    readers = await asyncio.gather(*(open_one(number) for number in range(count)))
    took_s = time.monotonic() - began
    grown = process.memory_info().rss - before
    print(f"{count} sockets: {grown / count / 1024:.1f} KiB each; {count / took_s:.0f} accepted a second")
    print(f"stop with {count + 1} sockets: {await _stops(stack)}")
    used = process.cpu_times()
    await asyncio.sleep(10)  # the length of the measurement
    now = process.cpu_times()
    print(
        f"CPU of {count} idle sockets: {(now.user + now.system - used.user - used.system) / 10 * 100:.1f} % of a core"
    )
    for reader in readers:
        reader.abort()
    await asyncio.gather(*(reader.closed for reader in readers))


async def _stops(stack: Stack) -> str:
    accepted_ms, closed_ms = [], []
    for _ in range(_STOPS):
        prompt = Prompt(tokens=2000, rate=50)
        async with stack.connect() as client:
            response_id = await client.start(prompt.body)
            await client.text_begun(response_id, deltas=2)
            sent = time.time()
            await client.cancel(response_id=response_id)
            await client.event("response.cancel.accepted")
            accepted_ms.append((time.time() - sent) * 1000)
            await client.closed()
        closed_at = (await stack.meter.ended(prompt.key)).closed_at
        assert closed_at is not None
        closed_ms.append((closed_at - sent) * 1000)
    return (
        f"accepted p50 {statistics.median(accepted_ms):.1f} ms, p98 {sorted(accepted_ms)[-2]:.1f} ms; "
        f"upstream closed p50 {statistics.median(closed_ms):.1f} ms, p98 {sorted(closed_ms)[-2]:.1f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.delivery.idle", description=__doc__)
    parser.add_argument("--sockets", type=int, default=5000, help="idle sockets to open")
    asyncio.run(main(parser.parse_args().sockets))
