"""Direct load: the same streams read straight from the model server, for how old a token is with nobody between."""

import asyncio
import contextlib
import secrets
from array import array
from types import TracebackType
from typing import Final, Self

from bench.ask import Ask
from bench.generator.direct import Direct

_FOR_EVER: Final = 1_000_000
_RAMP_S: Final = 0.5


class DirectLoad:
    """So many streams, for as long as the block lasts. They are read by this very process."""

    def __init__(self, upstream: str, streams: int, rate: float) -> None:
        self._upstream = upstream
        self._wanted = (streams, rate)
        self._open: list[Direct] = []
        self._asking: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start them, spread over half a second."""
        streams, rate = self._wanted
        for _ in range(streams):
            direct = await Direct.open(self._upstream)
            self._open.append(direct)
            ask = Ask(key=secrets.token_hex(8), rate=rate, tokens=_FOR_EVER)
            self._asking.append(asyncio.create_task(direct.ask(ask)))
            await asyncio.sleep(_RAMP_S / streams)  # whoever asks at one instant has tokens at one instant
        return self

    async def ages_us(self, seconds: float) -> tuple[int, int]:
        """Read for so long; return the median and the 99th percentile of the age of what came."""
        for direct in self._open:
            direct.ages_us = array("q")
        await asyncio.sleep(seconds)  # the length of the measure
        ages = sorted(age for direct in self._open for age in direct.ages_us) or [0]
        return ages[len(ages) // 2], ages[len(ages) * 99 // 100]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop them."""
        for task, direct in zip(self._asking, self._open, strict=True):
            direct.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
                await task
