"""Gateways: what each gateway says of itself, and the index of them: for consoles, never for decisions.

Owns the key with a short time to live that a gateway writes again and again, and the index, a superset of those that
live. A gateway whose key is gone is gone, and whoever lists takes it out of the index.
"""

import time
from typing import Final

import msgspec

from andon import keys
from andon.database import Database
from andon.frames import encode
from andon.ids import GatewayId

ANNOUNCE_EVERY_S: Final = 2.0
TTL_MS: Final = 10_000
_INDEX_TTL_MS: Final = 86400 * 1000


class AboutGateway(msgspec.Struct, frozen=True):
    """What a gateway says of itself. `since` and `at`: Unix seconds on its own clock."""

    id: GatewayId
    host: str
    pid: int
    sockets: int
    draining: bool
    since: float
    at: float


class Gateways:
    """The gateways that announce themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(self, about: AboutGateway) -> None:
        """Say that this gateway is there. Raises StoreUnavailable."""
        replies = [
            self._database.call("ZADD", keys.GATEWAYS, int(time.time()), about.id),
            self._database.call("PEXPIRE", keys.GATEWAYS, _INDEX_TTL_MS),
            self._database.call("SET", keys.gateway(about.id), encode(about), "PX", TTL_MS),
        ]
        for reply in replies:
            await reply

    async def leave(self, gateway_id: GatewayId) -> None:
        """Say that this gateway is going. Raises StoreUnavailable."""
        replies = [
            self._database.call("ZREM", keys.GATEWAYS, gateway_id),
            self._database.call("DEL", keys.gateway(gateway_id)),
        ]
        for reply in replies:
            await reply

    async def list(self) -> list[AboutGateway]:
        """List the gateways that live, the oldest first. Raises StoreUnavailable."""
        ids = [GatewayId(member.decode()) for member in await self._database.call("ZRANGE", keys.GATEWAYS, 0, -1)]
        replies = [self._database.call("GET", keys.gateway(gateway_id)) for gateway_id in ids]
        found = []
        for gateway_id, reply in zip(ids, replies, strict=True):
            text = await reply
            if text is None:
                await self._database.call("ZREM", keys.GATEWAYS, gateway_id)
            else:
                found.append(msgspec.json.decode(text, type=AboutGateway))
        return sorted(found, key=lambda about: (about.since, about.id))
