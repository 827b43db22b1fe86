"""Crowd: many streams of one contender, kept alive, and what came of them between two looks.

Owns a number of clients, spread evenly over the contender's gateways. Guarantees: whoever drops out without having
been asked to is counted as a failure, with its words.
"""

import asyncio
import random
import secrets
from array import array
from collections.abc import Sequence

import msgspec

from bench.ask import Ask, now_us
from bench.contender import Contender
from bench.generator.stream import Stream, StreamError

_AT_ONCE = 16
_PATIENCE_S = 120.0
_ENDED_S = 10.0


class Look(msgspec.Struct, frozen=True):
    """What came between two looks."""

    seconds: float
    frames: int
    tokens: int
    # Of frames with tokens: how old the first token in each was at its arrival, sorted thinned out to 1,000.
    ages_us: list[int]
    failures: list[str]


class StopsLook(msgspec.Struct, frozen=True):
    """What a storm of stops did, as far as a client can see."""

    # Of each stopped response: its key, and the instant before its stop was sent.
    sent_us: dict[str, int]


class Crowd:
    """The clients."""

    def __init__(self, contender: Contender, ports: Sequence[int]) -> None:
        self._contender = contender
        self._ports = ports
        self._streams: list[Stream] = []
        # By stream, the key of its response.
        self._keys: dict[Stream, str] = {}
        self._looked_us = now_us()
        self._before = (0, 0)

    async def open(self, count: int) -> float:
        """Open more sockets; return how many seconds it took."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                port = self._ports[number % len(self._ports)]
                session = f"crowd-{secrets.token_hex(6)}"
                self._streams.append(await Stream.open(self._contender, port, session))

        begun = now_us()
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(one(number) for number in range(count)))
        return (now_us() - begun) / 1e6

    async def start(self, rate: float, tokens: int, hold_s: float) -> None:
        """Let each stream ask, some at a time, and wait until all have their first token.

        With a hold the model server sends no token before it is over, and nobody is waited for after that.
        """
        idle = [stream for stream in self._streams if stream not in self._keys]
        limit = asyncio.Semaphore(_AT_ONCE)
        over_us = now_us() + int(hold_s * 1e6)

        async def one(stream: Stream) -> None:
            async with limit:
                key = secrets.token_hex(8)
                self._keys[stream] = key
                held_ms = max(over_us - now_us(), 0) / 1000 if hold_s else 0.0
                # Not all at one instant, when it comes.
                held_ms += random.uniform(0.0, 1000 / rate) if held_ms else 0.0
                stream.create(Ask(key=key, rate=rate, tokens=tokens, delay_ms=round(held_ms, 1)))
                await (stream.started if hold_s else stream.first)

        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(one(stream) for stream in idle))
        await asyncio.sleep(max(over_us - now_us(), 0) / 1e6)  # the hold

    async def attach(self, response_id: str) -> None:
        """Let each stream follow one response, and wait until all have a token of it."""
        for stream in self._streams:
            stream.attach(response_id)
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(stream.first for stream in self._streams))

    def look(self, *, ages: bool) -> Look:
        """Tell what came since the last look, and begin anew."""
        at_us = now_us()
        frames = sum(stream.frames for stream in self._streams)
        tokens = sum(stream.tokens for stream in self._streams)
        gathered: list[int] = []
        for stream in self._streams:
            gathered += stream.ages_us
            stream.ages_us = array("q")
            stream.wants_ages = ages
        gathered.sort()
        failures = [str(stream.error) for stream in self._streams if stream.error is not None]
        seen = Look(
            seconds=(at_us - self._looked_us) / 1e6,
            frames=frames - self._before[0],
            tokens=tokens - self._before[1],
            ages_us=gathered[:: max(1, len(gathered) // 1000)],
            failures=failures[:5],
        )
        self._looked_us, self._before = at_us, (frames, tokens)
        return seen

    async def stop(self) -> StopsLook:
        """Stop all at once, and wait until all have ended, or some seconds: the model server tells what was closed."""
        sent_us = {}
        for stream, key in self._keys.items():
            try:
                response_id = await stream.started
            except StreamError:
                continue  # its failure was told by the last look
            sent_us[key] = stream.stop(response_id)
        await asyncio.wait([stream.ended for stream in self._keys], timeout=_ENDED_S)
        self._keys.clear()
        return StopsLook(sent_us=sent_us)

    def close(self) -> None:
        """Drop all sockets."""
        for stream in self._streams:
            stream.close()
        self._streams.clear()
        self._keys.clear()
        self._before = (0, 0)
