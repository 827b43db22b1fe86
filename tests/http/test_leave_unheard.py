"""A client leaves while Redis is away or slow: the stop that was not recorded then is recorded later."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

from andon.audit import Asker, Door, Role, new_audit_id
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, Principal, ResponseId, SessionName, SessionTag, session_tag
from andon.replies import StopOutcome, StopReceipt
from andon.store import Store
from andon.telemetry import SILENT
from andon.trail import Ask, Trail
from gateway.hub import Hub
from gateway.stops import Stops

_SOON_S = 10.0


class _StoreAway:
    """A store whose server is away for the first so many calls, and answers no stop before it is let."""

    telemetry = SILENT

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self.sent = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        # By whom and why, of each stop that was recorded.
        self.recorded: asyncio.Queue[tuple[ResponseId, str, str | None]] = asyncio.Queue()

    async def stop(
        self, response_id: ResponseId, principal: Principal | None, *, by: str, reason: str | None, waits: bool = True
    ) -> StopReceipt:
        del waits
        assert principal == ANONYMOUS
        self._fail()
        self.sent.set()
        await self.may_answer.wait()
        self.recorded.put_nowait((response_id, by, reason))
        return StopReceipt(response_id, StopOutcome.RECORDED, recorded=1.0, settled=2.0)

    async def live(self, tag: SessionTag) -> list[ResponseId]:
        """List one response."""
        self._fail()
        return [_id_in(tag)]

    def _fail(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("away")


class _Trail(Trail):
    """Keeps what the audit is told."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.followed: list[tuple[Ask, ResponseId]] = []

    def ask(self, asker: Asker, *_: object, reason: str | None, **__: object) -> Ask:
        """Keep the ask."""
        self.asked.append(Ask(new_audit_id(), asker, reason, ""))
        return self.asked[-1]

    def follow(self, ask: Ask, receipts: Iterable[StopReceipt]) -> None:
        """Keep which."""
        self.followed += [(ask, receipt.response_id) for receipt in receipts]


def _id_in(tag: SessionTag) -> ResponseId:
    return ResponseId(f"resp_{tag}{'a' * 24}")


_TAG = session_tag(ANONYMOUS, SessionName("s"))
_ID = _id_in(_TAG)
_LEFT = Asker(ANONYMOUS, Role.OWNER, Door.DISCONNECT)


def stops_of(store: _StoreAway, trail: _Trail) -> Stops:
    """Make a gateway's stops over a store."""
    return Stops(cast("Store", store), cast("Hub", None), trail, wait_s=1.0, on_settled=lambda _: None)


@asynccontextmanager
async def asserting(stops: Stops) -> AsyncIterator[None]:
    """Assert stops for the length of a block, which is not long."""
    task = asyncio.create_task(stops.assert_again())
    async with asyncio.timeout(_SOON_S):
        yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_cannot_be_recorded_now_is_recorded_when_redis_is_back() -> None:
    """Nobody is left to repeat it: the gateway does, with the same words."""
    store = _StoreAway(failures=4)  # more than the stop itself repeats
    trail = _Trail()
    stops = stops_of(store, trail)
    await stops.leave([_ID], _LEFT, reason="disconnected")
    assert store.recorded.empty()
    async with asserting(stops):
        assert await store.recorded.get() == (_ID, "anonymous", "disconnected")
    # Asked once, however often it was sent; its one outcome is what became of the stop that reached Redis.
    (asked,) = trail.asked
    assert trail.followed == [(asked, _ID)]


async def test_a_stop_whose_asker_leaves_before_its_answer_is_asserted() -> None:
    """It was sent, and whether it was recorded nobody knows: a server that goes away now would lose it."""
    store, trail = _StoreAway(), _Trail()
    store.may_answer.clear()
    stops = stops_of(store, trail)
    asking = asyncio.create_task(stops.stop([_ID], _LEFT, reason="put away"))
    await store.sent.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    store.may_answer.set()
    assert store.recorded.empty()
    async with asserting(stops):
        assert await store.recorded.get() == (_ID, "anonymous", "put away")
    (asked,) = trail.asked
    assert trail.followed == [(asked, _ID)]


async def test_a_session_whose_stop_nobody_waits_for_is_stopped_when_redis_is_back() -> None:
    """What is live there could not be read at first."""
    store, trail = _StoreAway(failures=1), _Trail()
    stops = stops_of(store, trail)
    stops.leave_session_soon(_TAG, _LEFT, reason="put away", session="s")
    async with asserting(stops):
        assert await store.recorded.get() == (_ID, "anonymous", "put away")


async def test_a_stop_whose_asker_has_left_is_sent_before_the_gateway_ends() -> None:
    """A replica that is replaced closes its sockets and ends: what they had asked for last is not dropped."""
    store, trail = _StoreAway(), _Trail()
    stops = stops_of(store, trail)
    store.may_answer.clear()
    ending = asyncio.create_task(stops.assert_again())
    stops.leave_soon([_ID], _LEFT, reason="put away")
    await store.sent.wait()
    ending.cancel()
    asyncio.get_running_loop().call_later(0.05, store.may_answer.set)
    await asyncio.gather(ending, return_exceptions=True)
    assert store.recorded.get_nowait() == (_ID, "anonymous", "put away")
