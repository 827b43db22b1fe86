"""Seats: how many sockets may be open, on this gateway and of one principal on all of them.

Owns the count of this process, and this gateway's part of the count in Redis: it vouches for its open sockets once a
lease, for three leases. Does not own the sockets. Guarantees: no socket is seated beyond a limit; the seats of a
gateway that was killed are free again when it no longer vouches for them; where nothing is limited, nothing is asked.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from itertools import islice
from typing import Any, Final

import structlog

from andon import keys
from andon.database import Database
from andon.errors import OverloadedError, RetryLaterError, StoreUnavailable
from andon.ids import CountTag, Principal, SocketId, new_socket_id, principal_tag
from andon.script import script
from andon.settings import Settings

_log = structlog.get_logger(__name__)

# A gateway that is late by two beats keeps its seats.
_LEASES_VOUCHED: Final = 3
# So that one script holds up nobody for long.
_AT_ONCE: Final = 500
_RETRY_AFTER_S: Final = 5.0


class Seats:
    """The seats of one gateway."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._most = settings.max_sockets
        self._most_of_principal = settings.max_sockets_per_principal
        self._every_s = settings.lease_s
        self._vouched_ms = int(_LEASES_VOUCHED * settings.lease_s * 1000)
        self._taken = 0
        # The sockets that this gateway vouches for; empty where principals are not limited.
        self._of_principal: dict[CountTag, set[SocketId]] = {}

    async def take(self, principal: Principal) -> "Seat":
        """Seat a socket before its handshake is accepted. Raises RetryLaterError. Cancelling the wait is safe."""
        if self._most and self._taken >= self._most:
            message = f"This gateway has its {self._most} sockets (ANDON_MAX_SOCKETS). Connect again in a while."
            raise RetryLaterError("overloaded", message, retry_after_s=_RETRY_AFTER_S)
        # Before anything is awaited: others come meanwhile.
        seat = Seat(self, principal_tag(principal.tenant, principal.subject) if self._most_of_principal else None)
        self._taken += 1
        try:
            await self._take_in_redis(seat)
        except BaseException:
            self.leave(seat)
            raise
        return seat

    async def _take_in_redis(self, seat: "Seat") -> None:
        if seat.tag is None:
            return
        answer = await self._database.eval(
            script("seat"),
            [keys.counted_sockets(seat.tag)],
            [seat.socket_id, self._most_of_principal, self._vouched_ms],
        )
        if answer[0] != b"seated":
            message = (
                f"{int(answer[1])} sockets of yours are open, and no more are allowed "
                "(ANDON_MAX_SOCKETS_PER_PRINCIPAL). Close one, or wait until one has closed."
            )
            raise OverloadedError("too_many_sockets", message, retry_after_s=_RETRY_AFTER_S)
        self._of_principal.setdefault(seat.tag, set()).add(seat.socket_id)

    def leave(self, seat: "Seat") -> None:
        """Free a seat. Does not wait: what is lost of it, time mends."""
        self._taken -= 1
        if seat.tag is None:
            return
        seated = self._of_principal.get(seat.tag, set())
        seated.discard(seat.socket_id)
        if not seated:
            self._of_principal.pop(seat.tag, None)
        self._database.call("ZREM", keys.counted_sockets(seat.tag), seat.socket_id)

    async def vouch(self) -> None:
        """Vouch for the open sockets, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.vouch_once()
            except StoreUnavailable as error:
                _log.info("seats.not_vouched", error=str(error))

    async def vouch_once(self) -> None:
        """Vouch for the open sockets, in one write. Raises StoreUnavailable."""
        replies: list[Awaitable[Any]] = [
            self._database.eval(script("stay"), [keys.counted_sockets(tag)], [self._vouched_ms, *some])
            for tag, seated in self._of_principal.items()
            for some in _chunks(seated)
        ]
        for reply in replies:
            await reply


def _chunks(seated: set[SocketId]) -> Iterator[list[SocketId]]:
    rest = iter(seated)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


class Seat:
    """One socket's seat. `leave` it when the socket has closed."""

    __slots__ = ("_seats", "socket_id", "tag")

    def __init__(self, seats: Seats, tag: CountTag | None) -> None:
        self._seats = seats
        # Whose it is, and what it is called in Redis; None where principals are not limited.
        self.tag = tag
        self.socket_id = new_socket_id() if tag is not None else SocketId("")

    def leave(self) -> None:
        """Free it. To be called once."""
        self._seats.leave(self)
