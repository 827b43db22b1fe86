"""The pace: when each token is due, and the loop that sends frames at their time.

Owns the clock of a stream. Does not own the bytes, nor what happens after the last frame.

Guarantees: token `i` is due at start + time to first token + `i` / rate on the monotonic clock, so a stream does
not drift; tokens that are late go out together, in one write; the loop ends at the instant the client goes, and
every token it counts was handed to the socket of a client that was still there.
"""

import time
from collections.abc import Iterable

from andon.sim.exchange import Exchange
from andon.sim.frames import Frame
from andon.sim.meter import Record

_BATCH = 16  # fast where nothing is to be waited for, yet a close is looked for every few tokens


class Pace:
    """The due times of one answer's tokens, on the monotonic clock."""

    def __init__(self, *, start: float, rate: float, ttft_s: float, burst: int) -> None:
        self._first = start + ttft_s
        self._interval_s = 1 / rate if rate else 0.0
        self._burst = burst
        # Tokens in one write at most, however late they are.
        self.batch = max(_BATCH, burst)

    def due(self, index: int) -> float:
        """Say when the token is due; those of one burst together."""
        return self._first + (index - index % self._burst) * self._interval_s


async def play(frames: Iterable[Frame], exchange: Exchange, record: Record, pace: Pace) -> bool:
    """Send the frames, each token at its time, and count them. Frames without bytes only take their time.

    Returns False as soon as the client has gone. Cancelling it is safe; what was sent is counted.
    """
    held: list[bytes] = []
    held_tokens = 0
    there = True

    async def flush() -> bool:
        nonlocal held_tokens
        if (data := b"".join(held)) and not exchange.gone:
            await exchange.write(data)
        # Looked at after the write: it waits for a client that does not read, and writes nothing to one that went.
        if exchange.gone:
            return False
        record.count(held_tokens)
        held.clear()
        held_tokens = 0
        return True

    for data, tokens in frames:
        if tokens:
            due = pace.due(record.tokens_generated + held_tokens)
            if due > time.monotonic():
                there = await flush() and await exchange.until(due)
            elif held_tokens >= pace.batch:
                there = await flush() and await exchange.breathe()
            if not there:
                return False
        held.append(data)
        held_tokens += tokens
    return await flush()
