"""Expiry: waiting until Valkey has forgotten a key, which no door tells.

Owns nothing but that wait, by the names of the contract (`andon.keys`).
"""

import redis

from tests.stack.stack import Stack
from tests.stack.waiting import wait_until


async def expired(stack: Stack, key: str) -> None:
    """Wait until a key that is there now has expired."""
    client = redis.Redis.from_url(stack.valkey.url)
    try:
        assert client.pttl(key) != -2, f"{key} is not there"
        await wait_until(lambda: client.pttl(key) == -2, 20, what=f"{key} expires")
    finally:
        client.close()
