"""What Redis did between two looks: CPU, bytes, and commands, those sent told apart from those that scripts ran.

Owns the reading of INFO and of MONITOR. Redis counts both kinds of command alike, in `total_commands_processed` and in
commandstats; only MONITOR tells who ran one. So a short MONITOR, outside of what is measured but under the same load,
tells of each command which share of it was sent, and the counts of the measured time are split by that. (A command
that is either always sent or always run by scripts, as nearly all are, is thereby counted exactly.)
"""

import asyncio
import re
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis

from bench.process import cpu_s

_OWN: Final = frozenset({"info", "monitor", "hello", "client|setinfo"})
_SAMPLE_S: Final = 0.4
# A line of MONITOR: `+TIME [0 ADDRESS] "command" ...`, the address `lua` for what a script ran.
_MONITORED: Final = re.compile(rb'^\+[0-9.]+ \[[0-9]+ ([^]]+)\] "([^"]+)"', re.MULTILINE)


class RedisLook(msgspec.Struct, frozen=True):
    """What Redis has done so far."""

    cpu_s: float
    bytes: int
    calls: dict[str, int]


class RedisWork(msgspec.Struct, frozen=True):
    """What it did between two looks."""

    cpu_s: float
    bytes: int
    # Commands that clients sent, a script's call counted as one.
    sent: float
    # Commands that scripts ran.
    inner: float
    # Scripts called.
    scripts: int
    # Publishes of both kinds, sent or within scripts.
    publishes: int


class RedisMeter:
    """The looks, over a connection of its own."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = urlsplit(url)
        self._redis: Any = Redis.from_url(url)
        self._pid = pid

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def look(self) -> RedisLook:
        """Read the counters."""
        info = await self._redis.info("stats", "commandstats")
        calls = {
            name.removeprefix("cmdstat_").lower(): int(value["calls"])
            for name, value in info.items()
            if name.startswith("cmdstat_")
        }
        return RedisLook(
            cpu_s=cpu_s(self._pid),
            bytes=int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"]),
            calls={name: count for name, count in calls.items() if name not in _OWN},
        )

    async def listeners(self, pattern: str) -> float:
        """Return how many subscribers a channel of this pattern has, on average; 0 if there is no such channel."""
        channels = await self._redis.pubsub_channels(pattern)
        counts: list[int] = [int(count) for _, count in await self._redis.pubsub_numsub(*channels)] if channels else []
        return sum(counts) / max(len(counts), 1)

    async def shares_sent(self) -> dict[str, float]:
        """Tell of each command which share of its calls was sent by clients, by watching for a moment."""
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        writer.write(b"MONITOR\r\n")
        seen = bytearray()
        try:
            async with asyncio.timeout(_SAMPLE_S):
                while data := await reader.read(1 << 20):
                    seen += data
        except TimeoutError:
            pass  # the moment is over
        writer.close()
        sent: Counter[str] = Counter()
        every: Counter[str] = Counter()
        for by, name in _MONITORED.findall(bytes(seen)):
            command = name.decode().lower()
            every[command] += 1
            sent[command] += by != b"lua"
        return {command: sent[command] / count for command, count in every.items()}


def work(before: RedisLook, after: RedisLook, shares_sent: dict[str, float]) -> RedisWork:
    """Return what was done between two looks. A command that was not watched is taken as sent."""
    calls = {name: count - before.calls.get(name, 0) for name, count in after.calls.items()}
    sent = sum(count * shares_sent.get(name.partition("|")[0], 1.0) for name, count in calls.items())
    return RedisWork(
        cpu_s=after.cpu_s - before.cpu_s,
        bytes=after.bytes - before.bytes,
        sent=sent,
        inner=sum(calls.values()) - sent,
        scripts=sum(calls.get(name, 0) for name in ("evalsha", "eval", "fcall", "evalsha_ro", "fcall_ro")),
        publishes=calls.get("publish", 0) + calls.get("spublish", 0),
    )
