"""Crowd: hundreds of readers of one response, and one among them that reads nothing.

Run as `python -m bench.delivery.crowd [--readers 500] [--rounds 3]`. Each reader is sent 20 MB: a text of 4 MB, piece
by piece, and then again whole in the four events that end it. Measured without and with the bad one, in turn, so that
the machine's noise hits both alike: the gateway's resident set at most, how long after the first reader the others get
an event, and that the bad one is cut.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.delivery.reader import Reader
from tests.delivery.test_slow_readers import holds, peak_rss_bytes
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_MIB = 1024 * 1024
_TOKENS = 400  # of 10 KiB
_RATE = 10.0
_PROBES = 50
_ENDING_FRAMES = 4
_PATIENCE_S = 300.0
_AT_ONCE = 50
_ENV = {"ANDON_LOG_LEVEL": "info"}


async def main(readers: int, rounds: int) -> None:
    """Measure, and print."""
    for is_bad_one_there in (False, True) * rounds:
        with tempfile.TemporaryDirectory() as logs:
            async with Stack(Path(logs), gateways=1, workers=1, env=_ENV) as stack:
                await _measure(stack, readers, is_bad_one_there)


async def _measure(stack: Stack, count: int, is_bad_one_there: bool) -> None:
    gateway, session = stack.gateways[0], "crowd"
    limit = asyncio.Semaphore(_AT_ONCE)

    async def open_one() -> Reader:
        async with limit:
            return await Reader.open(gateway.port, session=session)

    readers = await asyncio.gather(*(open_one() for _ in range(count)))
    for probe in readers[:_PROBES]:
        probe.arrivals = []
    bad = await Reader.open(gateway.port, session=session, small_buffer=True) if is_bad_one_there else None
    prompt = Prompt(model="sim-fat", tokens=_TOKENS, rate=_RATE)
    process = psutil.Process(gateway.pid)
    used = process.cpu_times()
    began = time.monotonic()
    async with stack.connect(session=session) as creator, peak_rss_bytes(gateway) as rss:
        response_id = await creator.start(prompt.body)
        for reader in readers:
            reader.send("response.retrieve", response_id=response_id)
        if bad is not None:
            bad.send("response.retrieve", response_id=response_id)
            bad.pause()
        async with asyncio.timeout(_PATIENCE_S):
            endings = await asyncio.gather(*(reader.ended for reader in readers))
    took_s = time.monotonic() - began
    now = process.cpu_times()
    # Not looked for while the others read: looking is work for the very loop that notes when their events come.
    if bad is not None:
        await wait_until(lambda: not holds(gateway, bad), 60, what="the bad one is cut")
    assert {ending["response"]["status"] for ending in endings} == {"completed"}
    assert len({(reader.frames, reader.bytes, reader.crc) for reader in readers}) == 1
    sent_bytes = readers[0].bytes
    lags_ms = _lags_ms(readers[:_PROBES])
    print(
        f"{count} readers of {sent_bytes / _MIB:.1f} MiB {'and one that reads nothing' if bad else 'alone'}: "
        f"RSS {rss[0] / _MIB:.0f} MiB before, {rss[1] / _MIB:.0f} MiB at most; "
        f"lag behind the first p50 {statistics.median(lags_ms):.1f} ms, "
        f"p99 {lags_ms[len(lags_ms) * 99 // 100]:.1f} ms; "
        f"{took_s:.0f} s, {now.user + now.system - used.user - used.system:.0f} s of CPU"
    )
    for reader in (*readers, *([bad] if bad else [])):
        reader.abort()


def _lags_ms(probes: list[Reader]) -> list[float]:
    """Return by how much each probe got each delta later than the first of them did, sorted.

    The first deltas are left out: some came by replay, as the readers attached.
    """
    arrivals = [probe.arrivals or [] for probe in probes]
    rows = list(zip(*arrivals, strict=True))[_TOKENS // 4 : -_ENDING_FRAMES]
    return sorted((at - min(row)) * 1000 for row in rows for at in row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.delivery.crowd", description=__doc__)
    parser.add_argument("--readers", type=int, default=500, help="readers beside the bad one")
    parser.add_argument("--rounds", type=int, default=3, help="how often both are measured")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.readers, arguments.rounds))
