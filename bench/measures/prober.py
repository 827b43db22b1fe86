"""Prober: one client that starts a stream and stops it, again and again, and how long each stop took.

Owns its sockets: one at the contender's first gateway and, for stops from elsewhere, one at its second. A stop's time
runs from just before its frame is handed to the kernel until the model server saw its connection closed.
"""

import asyncio
import random
import secrets
from typing import Final

import msgspec

from bench.ask import Ask, now_us
from bench.generator.stream import Stream, StreamError
from bench.model.door import Model, ModelError
from bench.stage import Cast

_RATE: Final = 50.0
_TOKENS: Final = 100_000  # for longer than anybody waits
_START_S: Final = 60.0  # under a load that is too much, a first token takes its time
_CLOSED_S: Final = 2.0
_ENDED_S: Final = 10.0


class Stopped(msgspec.Struct, frozen=True):
    """One stop. None: the model server had not seen a close 2 s later."""

    took_us: int | None
    # Tokens that the model server wrote after the stop was sent.
    tokens_after: int


class Prober:
    """The client."""

    def __init__(self, cast: Cast, model: Model) -> None:
        self.cast = cast
        self._model = model
        self._stream: Stream | None = None
        self._other: Stream | None = None

    async def stop_one(self, *, silent: bool = False, elsewhere: bool = False) -> Stopped:
        """Start a stream, let it run for a moment, stop it. `silent`: the model server never sends a token."""
        stream = await self._usable()
        stopper = await self._usable_other() if elsewhere else stream
        key = secrets.token_hex(8)
        stream.create(Ask(key=key, rate=_RATE, tokens=0 if silent else _TOKENS))
        async with asyncio.timeout(_START_S):
            response_id = await stream.started
            if silent:
                await self._asked(key)
            else:
                await stream.first
        # At no fixed distance from a token: whoever stops has no clock of the model's.
        await asyncio.sleep(random.uniform(0.02, 0.06))
        sent_us = stopper.stop(response_id)
        try:
            seen = (await self._model.closed({key: sent_us}, _CLOSED_S))[key]
        except ModelError:
            stream.close()
            return Stopped(None, (await self._model.seen({key: sent_us}))[key].tokens_after)
        if stopper.error is not None:
            raise stopper.error
        await self._over(stream)
        # Finished: it was closed by its own end, so not by the stop.
        return Stopped(None if seen.closed_us is None else seen.closed_us - sent_us, seen.tokens_after)

    def close(self) -> None:
        """Drop the sockets."""
        for stream in (self._stream, self._other):
            if stream is not None:
                stream.close()
        self._stream = self._other = None

    async def _asked(self, key: str) -> None:
        # Another process' record: there is no event to wait for.
        while not await self._model.seen({key: now_us()}):  # noqa: ASYNC110
            await asyncio.sleep(0.002)  # between two looks

    async def _over(self, stream: Stream) -> None:
        """Wait for the client's side of the end; a contender that tells of none loses its socket."""
        try:
            async with asyncio.timeout(_ENDED_S):
                await stream.ended
        except (TimeoutError, StreamError):
            stream.close()

    async def _usable(self) -> Stream:
        if self._stream is None or self._stream.is_closed:
            self._stream = await Stream.open(self.cast.contender, self.cast.ports[0], _session())
        return self._stream

    async def _usable_other(self) -> Stream:
        if self._other is None or self._other.is_closed:
            self._other = await Stream.open(self.cast.contender, self.cast.ports[1], _session())
        return self._other


def _session() -> str:
    return f"probe-{secrets.token_hex(6)}"
