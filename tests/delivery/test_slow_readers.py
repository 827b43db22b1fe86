import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import psutil

from tests.delivery.conftest import BRIEF
from tests.delivery.reader import Reader
from tests.stack.prompt import Prompt
from tests.stack.stack import Gateway, Stack
from tests.stack.waiting import wait_until

READERS = 20
TOO_SLOW = 3008
# 4 MB to each: far more than an outbox (512 KiB here) and all buffers below it.
TOKENS = 400
MIB = 1024 * 1024
# The stated bound: what one socket may hold at most. Its outbox, what is added to that by the read that fills it (a
# slice of the log, a batch), and the buffers that the process holds below it.
SOCKET_BYTES = 512 * 1024 + 256 * 1024 + 256 * 1024


def holds(gateway: Gateway, reader: Reader) -> bool:
    """Tell whether the gateway still has its side of the connection."""
    connections = psutil.Process(gateway.pid).net_connections(kind="tcp")
    return any(tuple(connection.raddr)[1:] == (reader.port,) for connection in connections)


@contextlib.asynccontextmanager
async def peak_rss_bytes(gateway: Gateway) -> AsyncIterator[list[int]]:
    """Watch the memory of the gateway for the length of a block: the first look, and the most since."""
    process = psutil.Process(gateway.pid)
    found = [process.memory_info().rss] * 2

    async def watch() -> None:
        while True:
            found[1] = max(found[1], process.memory_info().rss)
            await asyncio.sleep(0.02)

    watching = asyncio.ensure_future(watch())
    try:
        yield found
    finally:
        watching.cancel()


async def test_a_reader_that_reads_nothing_costs_nobody_anything_and_is_cut(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]], session: str
) -> None:
    """Among twenty that read: they all get every byte, the gateway's memory stays bounded, the bad one is gone."""
    prompt = Prompt(model="sim-fat", tokens=TOKENS, rate=800)
    async with (
        own_stack(gateways=1, workers=1, **{**BRIEF, "ANDON_LOG_TTL_S": "120"}) as stack,
        stack.connect(0, session=session) as creator,
    ):
        gateway = stack.gateways[0]
        readers = [await Reader.open(gateway.port, session=session) for _ in range(READERS)]
        dead = await Reader.open(gateway.port, session=session, small_buffer=True)
        async with peak_rss_bytes(gateway) as rss:
            response_id = await creator.start(prompt.body)
            for reader in (*readers, dead):
                reader.send("response.retrieve", response_id=response_id)
            dead.pause()
            ending = await creator.ending(response_id, 40)
            waited_for = [
                asyncio.wait((reader.ended, reader.closed), return_when="FIRST_COMPLETED") for reader in readers
            ]
            async with asyncio.timeout(30):
                await asyncio.gather(*waited_for)
            assert [reader.closed.result() for reader in readers if reader.closed.done()] == []
            endings = [reader.ended.result() for reader in readers]
        assert ending["response"]["status"] == "completed"
        assert endings == [ending] * READERS
        frames = creator.frames_of(response_id)
        size_bytes = sum(len(frame.encode()) for frame in frames)
        assert {(reader.frames, reader.bytes) for reader in readers} == {(len(frames), size_bytes)}
        assert len({reader.crc for reader in readers}) == 1
        # One frame more may be in hand, and the ending repeats the whole text.
        largest_bytes = max(len(frame.encode()) for frame in frames)
        assert rss[1] - rss[0] < (READERS + 2) * (SOCKET_BYTES + largest_bytes)
        await wait_until(lambda: not holds(gateway, dead), 15, what="the dead reader is cut")
        for reader in (*readers, dead):
            reader.abort()


async def test_a_reader_that_is_too_slow_is_closed_with_3008(brief_stack: Stack, session: str) -> None:
    """It takes less than the outbox in the time allowed; what it has not taken is dropped, and it is told why."""
    prompt = Prompt(model="sim-fat", tokens=TOKENS, rate=800)
    async with brief_stack.connect(0, session=session) as creator:
        slow = await Reader.open(brief_stack.gateways[0].port, session=session, small_buffer=True)
        slow.trickle(100 * 1024)
        response_id = await creator.start(prompt.body)
        slow.send("response.retrieve", response_id=response_id)
        await creator.ending(response_id)
        async with asyncio.timeout(20):
            assert await slow.closed == TOO_SLOW
        assert slow.frames < len(creator.frames_of(response_id))
