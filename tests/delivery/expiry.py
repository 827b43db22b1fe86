"""Expiry: waiting until Valkey has forgotten a key, which no door tells.

Owns nothing but that wait, by the names of the contract (`andon.keys`).
"""

from tests.stack.stack import Stack
from tests.stack.waiting import wait_until


async def expired(stack: Stack, key: str) -> None:
    """Wait until a key that is there now has expired."""
    with stack.servers.client(key) as client:
        assert client.pttl(key) != -2, f"{key} is not there"
        await wait_until(lambda: client.pttl(key) == -2, 20, what=f"{key} expires")
