"""A client leaves while Redis is away: the stop that could not be recorded is recorded later."""

import asyncio
from collections.abc import Iterable
from typing import cast

from andon.audit import Asker, Door, Role, new_audit_id
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, Principal, ResponseId, SessionName, new_response_id, session_tag
from andon.replies import StopOutcome, StopReceipt
from andon.store import Store
from andon.telemetry import SILENT
from andon.trail import Ask, Trail
from gateway.hub import Hub
from gateway.stops import Stops

_SOON_S = 10.0


class _StoreAway:
    """A store whose server is away for the first so many stops."""

    telemetry = SILENT

    def __init__(self, failures: int) -> None:
        self._failures = failures
        # By whom and why, of each stop that was recorded.
        self.recorded: asyncio.Queue[tuple[ResponseId, str, str | None]] = asyncio.Queue()

    async def stop(
        self, response_id: ResponseId, principal: Principal | None, *, by: str, reason: str | None, waits: bool = True
    ) -> StopReceipt:
        del waits
        assert principal == ANONYMOUS
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("away")
        self.recorded.put_nowait((response_id, by, reason))
        return StopReceipt(response_id, StopOutcome.RECORDED, recorded=1.0, settled=2.0)


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


async def test_what_cannot_be_recorded_now_is_recorded_when_redis_is_back() -> None:
    """Nobody is left to repeat it: the gateway does, with the same words."""
    store = _StoreAway(failures=4)  # more than the stop itself repeats
    trail = _Trail()
    stops = Stops(cast("Store", store), cast("Hub", None), trail, wait_s=1.0, on_settled=lambda _: None)
    response_id = new_response_id(session_tag(ANONYMOUS, SessionName("s")))
    await stops.leave(response_id, Asker(ANONYMOUS, Role.OWNER, Door.DISCONNECT), reason="disconnected")
    assert store.recorded.empty()
    asserting = asyncio.create_task(stops.assert_again())
    async with asyncio.timeout(_SOON_S):
        assert await store.recorded.get() == (response_id, "anonymous", "disconnected")
    asserting.cancel()
    await asyncio.gather(asserting, return_exceptions=True)
    # Asked once, however often it was sent; its one outcome is what became of the stop that reached Redis.
    (asked,) = trail.asked
    assert trail.followed == [(asked, response_id)]
