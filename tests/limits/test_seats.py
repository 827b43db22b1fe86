"""Seats: the counting of sockets, on a real server."""

import asyncio

import pytest

from andon import keys
from andon.database import Database
from andon.errors import OverloadedError, RetryLaterError
from andon.ids import ANONYMOUS, principal_tag
from andon.settings import Settings
from gateway.seats import Seats
from tests.stack.waiting import wait_until

MINE = keys.counted_sockets(principal_tag(ANONYMOUS.tenant, ANONYMOUS.subject))


def seats(database: Database, most: int, *, lease_s: float = 60) -> Seats:
    """Make the seats of one gateway."""
    return Seats(database, Settings(max_sockets_per_principal=most, lease_s=lease_s))


async def test_exactly_the_limit_is_seated_on_all_gateways_together(database: Database) -> None:
    """Thirty at once on two gateways: five."""
    gateways = [seats(database, 5) for _ in range(2)]
    answers = await asyncio.gather(*(gateways[n % 2].take(ANONYMOUS) for n in range(30)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert len(refusals) == 25
    assert {error.code for error in refusals} == {"too_many_sockets"}
    assert await database.call("ZCARD", MINE) == 5


async def test_a_socket_that_closes_frees_its_seat(database: Database) -> None:
    """At once, for any gateway."""
    one, other = seats(database, 1), seats(database, 1)
    seat = await one.take(ANONYMOUS)
    with pytest.raises(OverloadedError):
        await other.take(ANONYMOUS)
    seat.leave()
    await one.vouch_once()
    (await other.take(ANONYMOUS)).leave()


async def test_the_seats_of_a_gateway_that_no_longer_vouches_are_free(database: Database) -> None:
    """It was killed: after three leases nobody counts its sockets; one that vouches keeps its own."""
    dead, alive = seats(database, 2, lease_s=2), seats(database, 2, lease_s=2)
    await dead.take(ANONYMOUS)
    await alive.take(ANONYMOUS)

    async def is_there_room() -> bool:
        await alive.vouch_once()
        try:
            await alive.take(ANONYMOUS)
        except OverloadedError:
            return False
        return True

    assert not await is_there_room()
    await wait_until(is_there_room, timeout_s=60)
    assert not await is_there_room()


async def test_many_sockets_are_vouched_for_in_pieces(database: Database) -> None:
    """More than one script takes at once; one that Redis lost is counted again."""
    gateway = seats(database, 2000)
    for _ in range(1201):
        await gateway.take(ANONYMOUS)
    await database.call("DEL", MINE)
    await gateway.vouch_once()
    assert await database.call("ZCARD", MINE) == 1201


async def test_a_gateway_may_have_a_bound_of_its_own(database: Database) -> None:
    """Counted before anything is awaited; the next one is told to come back, and Redis is not asked."""
    gateway = Seats(database, Settings(max_sockets=2))
    answers = await asyncio.gather(*(gateway.take(ANONYMOUS) for _ in range(3)), return_exceptions=True)
    (refusal,) = [answer for answer in answers if isinstance(answer, RetryLaterError)]
    assert (refusal.code, refusal.status) == ("overloaded", 503)
    assert await database.call("KEYS", "*") == []
    first = next(answer for answer in answers if not isinstance(answer, BaseException))
    first.leave()
    await gateway.take(ANONYMOUS)
