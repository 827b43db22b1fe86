"""Remembered: sessions as ended responses leave them in Redis, any number of them.

Made by copying what one real response left behind, key by key, under other tags: byte for byte what the scripts wrote,
at a hundred times the speed. They stay until Redis ends: whoever asks for them measures last.
"""

import asyncio
import secrets
from typing import Any, Final

from redis.asyncio import Redis

from andon.ids import as_response_id, tag_of
from bench.ask import Ask
from bench.generator.stream import Stream
from bench.stage import Cast, Stage

_TOKENS: Final = 20
_AT_ONCE: Final = 500
_SETTLED_S: Final = 0.5


class Memory:
    """What Redis remembers of sessions that are over."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Any = Redis.from_url(redis_url)
        # Of the session that is copied: its keys, their contents and times to live in ms.
        self._keys: list[tuple[bytes, bytes, int]] = []
        self._tag = b""
        self.sessions = 0

    async def learn(self, cast: Cast) -> None:
        """Let Andon answer once, and read what that left."""
        stream = await Stream.open(cast.contender, cast.ports[0], f"remembered-{secrets.token_hex(6)}")
        stream.create(Ask(key=secrets.token_hex(8), rate=0, tokens=_TOKENS))
        response_id = as_response_id(await stream.started)
        assert response_id is not None
        await stream.ended
        stream.close()
        await asyncio.sleep(_SETTLED_S)  # the settlement is shipped
        self._tag = tag_of(response_id).encode()
        async for key in self._redis.scan_iter(match=b"andon:{%b}:*" % self._tag, count=1000):
            dump, ttl_ms = await self._redis.dump(key), await self._redis.pttl(key)
            if dump is not None:
                self._keys.append((key, dump, max(ttl_ms, 0)))

    async def grow(self, to: int) -> None:
        """Copy it until there are so many."""
        while self.sessions < to:
            batch = min(_AT_ONCE, to - self.sessions)
            pipe = self._redis.pipeline(transaction=False)
            for _ in range(batch):
                # Of the same length: some contents hold lengths.
                tag = secrets.token_hex(len(self._tag)).encode()[: len(self._tag)]
                for key, dump, ttl_ms in self._keys:
                    pipe.restore(key.replace(self._tag, tag), ttl_ms, dump)
            await pipe.execute()
            self.sessions += batch

    async def used_bytes(self) -> int:
        """Return the memory that Redis uses, all in all."""
        return int((await self._redis.info("memory"))["used_memory"])

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


async def memory(stage: Stage, cast: Cast) -> Memory:
    """Return a memory of none yet."""
    made = Memory(stage.redis_url)
    await made.learn(cast)
    return made
