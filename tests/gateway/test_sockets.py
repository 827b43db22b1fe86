import asyncio
from collections.abc import Callable

import pytest

from andon.closecodes import CloseCode
from andon.ids import ANONYMOUS
from gateway.auth.permit import Permit
from gateway.sockets import Sockets
from tests.stack.waiting import wait_until


class FakeSocket:
    """A socket that leaves when it is closed, unless it is stubborn."""

    def __init__(self, sockets: Sockets, *, leaves: bool = True) -> None:
        self._sockets = sockets
        self._leaves = leaves
        # Codes it was closed with, and the loop times of that.
        self.closes: list[tuple[CloseCode, float]] = []
        self.looks = 0
        self.permit: Permit | None = Permit(ANONYMOUS)
        # Why it was told that its permit holds no more, each time.
        self.lapses: list[str] = []

    def close(self, code: CloseCode, reason: str) -> None:
        """Take note, and leave."""
        assert reason
        self.closes.append((code, asyncio.get_running_loop().time()))
        if self._leaves:
            asyncio.get_running_loop().call_soon(self._sockets.remove, self)

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """Count the looks."""
        assert now > 0
        assert slow_reader_s == 30
        self.looks += 1
        return False

    def lapse(self, reason: str) -> None:
        """Take note."""
        self.lapses.append(reason)


@pytest.fixture
def sockets() -> Sockets:
    return Sockets(slow_reader_s=30, lapsed=lambda permit: None if permit.key is None else f"{permit.key} is gone")


@pytest.fixture
def add(sockets: Sockets) -> Callable[..., FakeSocket]:
    """Make sockets that are counted in."""

    def make(*, leaves: bool = True) -> FakeSocket:
        socket = FakeSocket(sockets, leaves=leaves)
        sockets.add(socket)
        return socket

    return make


async def test_a_drain_closes_each_socket_once_with_1012(sockets: Sockets, add: Callable[..., FakeSocket]) -> None:
    """And returns as soon as the last is gone, not at the deadline."""
    several = [add() for _ in range(5)]
    async with asyncio.timeout(3):
        await sockets.drain(30)
    assert [[code for code, _ in socket.closes] for socket in several] == [[CloseCode.RESTARTING]] * 5
    assert len(sockets) == 0


async def test_the_closes_are_spread_over_the_time(sockets: Sockets, add: Callable[..., FakeSocket]) -> None:
    """Many sockets use most of the drain's time, so that a fleet does not come back at once; the end is kept for
    the closing handshakes.
    """
    many = [add() for _ in range(50)]
    await sockets.drain(0.5)
    times = sorted(at for socket in many for _, at in socket.closes)
    assert len(times) == 50
    assert 0.25 <= times[-1] - times[0] <= 0.5


async def test_a_drain_ends_at_its_deadline_whoever_stays(sockets: Sockets, add: Callable[..., FakeSocket]) -> None:
    """A client that does not answer the close does not hold up the process."""
    stubborn = add(leaves=False)
    async with asyncio.timeout(3):
        await sockets.drain(0.1)
    assert len(sockets) == 1
    assert [code for code, _ in stubborn.closes] == [CloseCode.RESTARTING]


async def test_nobody_waits_for_sockets_that_leave_by_themselves(
    sockets: Sockets, add: Callable[..., FakeSocket]
) -> None:
    """The spread is over those that are still there."""
    many = [add() for _ in range(100)]
    for socket in many:
        asyncio.get_running_loop().call_soon(sockets.remove, socket)
    async with asyncio.timeout(3):
        await sockets.drain(30)
    assert sum(len(socket.closes) for socket in many) <= 1


async def test_a_socket_that_comes_while_draining_is_sent_on(sockets: Sockets, add: Callable[..., FakeSocket]) -> None:
    """Its handshake had begun before the drain did."""
    await sockets.drain(0)
    assert sockets.is_draining
    late = add()
    assert [code for code, _ in late.closes] == [CloseCode.RESTARTING]


async def test_the_watch_looks_at_every_socket(
    sockets: Sockets, add: Callable[..., FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again, for the time that the setting says."""
    monkeypatch.setattr("gateway.sockets._WATCH_EVERY_S", 0.001)
    several = [add() for _ in range(3)]
    watching = asyncio.ensure_future(sockets.watch())
    await wait_until(lambda: min(socket.looks for socket in several) >= 2)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_the_watch_ends_those_whose_permit_holds_no_more(
    sockets: Sockets, add: Callable[..., FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other; a connection without one is not asked for it."""
    monkeypatch.setattr("gateway.sockets._WATCH_EVERY_S", 0.001)
    fine, lapsed, without = (add() for _ in range(3))
    lapsed.permit = Permit(ANONYMOUS, key="k")
    without.permit = None
    watching = asyncio.ensure_future(sockets.watch())
    await wait_until(lambda: bool(lapsed.lapses) and min(fine.looks, without.looks) >= 2)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert set(lapsed.lapses) == {"k is gone"}
    assert not fine.lapses
    assert not without.lapses
