"""Fakes of what the parts of a worker's life hold: a store that answers as told, and runs that only listen.

Each keeps what was asked of it. Does not own what is true: that is the scripts', tested elsewhere.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, ResponseId, SessionName, WorkerId, new_response_id, session_tag
from andon.replies import Claimed, Outcome, Refused, StopOutcome, StopReceipt, Written
from andon.rescue import Rescuer
from andon.response import Stop
from andon.settings import Settings
from andon.store import Store
from andon.telemetry import StopPath
from tests.contract.fake import FakeDatabase
from worker.scribe import Scribe
from worker.verdict import Loss

WORKER = WorkerId("w_one")


def claimed(*, generation: int = 1, abandon_s: float = 0) -> Claimed:
    """Make a claimed job."""
    rid = new_response_id(session_tag(ANONYMOUS, SessionName("s")))
    return Claimed(rid, WORKER, generation, 1, b"{}", b"", b"", b"", 0, abandon_s=abandon_s)


def store_away() -> StoreUnavailable:
    """Make the error of an outage."""
    return StoreUnavailable("away")


class FakeScribe(Scribe):
    """A run that ends when it is told to, in one way or another."""

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.heard_at = 0.0
        self.looked_for_presence_at = 0.0
        self.stops: list[Stop] = []
        self.paths: list[StopPath] = []
        self.losses: list[Loss] = []
        self.drains = 0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        """Ask nobody."""

    async def run(self) -> None:
        """Run until told otherwise."""
        await self._over

    def stop(self, stop: Stop, path: StopPath = StopPath.APPEND) -> None:
        """Keep the stop, and its path."""
        self.stops.append(stop)
        self.paths.append(path)

    def abandon(self, loss: Loss) -> None:
        """Keep the loss."""
        self.losses.append(loss)

    @property
    def loss(self) -> Loss | None:
        """Return the loss that was kept last."""
        return self.losses[-1] if self.losses else None

    def drain(self) -> None:
        """Count."""
        self.drains += 1

    def finish(self, crash: Exception | None = None) -> None:
        """End the run; with `crash`, by our own bug."""
        if crash is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(crash)


class FakeStore(Store):
    """Answers from the members; `is_away` makes every call fail."""

    def __init__(self) -> None:
        super().__init__(FakeDatabase(), Settings())
        self.is_away = False
        # Whether claims are answered within a callback, as on one server.
        self.begins_claims = False
        self.outcome = Outcome(Written.OK)
        # What the next claims of a response answer, the last one for ever.
        self.claims: dict[ResponseId, list[Claimed | Refused]] = {}
        self.present_ids: set[ResponseId] = set()
        self.looked: list[ResponseId] = []
        self.forgotten: list[ResponseId] = []
        self.stopped: list[tuple[ResponseId, str, str | None]] = []

    def _answer(self) -> None:
        if self.is_away:
            raise store_away()

    async def look(self, job: Claimed) -> Outcome:
        """Answer with the outcome."""
        self._answer()
        self.looked.append(job.response_id)
        return self.outcome

    async def forget(self, worker_id: WorkerId, rid: ResponseId) -> None:
        """Keep which."""
        assert worker_id == WORKER
        self._answer()
        self.forgotten.append(rid)

    async def claim(self, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
        """Answer what is next."""
        return self._next_claim(rid, worker_id)

    def _next_claim(self, rid: ResponseId, worker_id: WorkerId) -> Claimed | Refused:
        assert worker_id == WORKER
        self._answer()
        answers = self.claims[rid]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def begin_claim(self, rid: ResponseId, worker_id: WorkerId, on_claim: Callable[[Any], None]) -> bool:
        """Answer what is next, a turn later, where claims are begun."""
        if self.begins_claims:
            asyncio.get_running_loop().call_soon(self._tell_claim, rid, worker_id, on_claim)
        return self.begins_claims

    def _tell_claim(self, rid: ResponseId, worker_id: WorkerId, on_claim: Callable[[Any], None]) -> None:
        try:
            on_claim(self._next_claim(rid, worker_id))
        except StoreUnavailable as error:
            on_claim(error)

    async def finish_claim(self, rid: ResponseId, worker_id: WorkerId, told: Any) -> Claimed | Refused:
        """Read what was told."""
        assert worker_id == WORKER
        assert rid in self.claims
        if isinstance(told, Exception):
            raise told
        assert isinstance(told, Claimed | Refused)
        return told

    async def are_present(self, ids: list[ResponseId]) -> list[bool]:
        """Tell of each."""
        self._answer()
        return [rid in self.present_ids for rid in ids]

    async def stop(
        self,
        rid: ResponseId,
        principal: object,
        *,
        by: str,
        reason: str | None,
        waits: bool = True,
        begun: "asyncio.Future[Any] | None" = None,
    ) -> StopReceipt:
        """Keep the stop."""
        del waits, begun
        assert principal is None
        self._answer()
        self.stopped.append((rid, by, reason))
        return StopReceipt(rid, StopOutcome.RECORDED)


class FakeRescuer(Rescuer):
    """Keeps which jobs it was told to rescue."""

    def __init__(self) -> None:
        self.rescued: list[ResponseId] = []

    async def rescue_job(self, response_id: ResponseId, owner: WorkerId) -> bool:
        """Keep it."""
        assert owner == WORKER
        self.rescued.append(response_id)
        return True


class Tasks:
    """Where tasks are started, as in the group that owns a life."""

    def __init__(self) -> None:
        self.started: list[asyncio.Task[None]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start one."""
        self.started.append(asyncio.get_running_loop().create_task(coroutine))
        return self.started[-1]

    async def done(self) -> None:
        """Wait until all have ended; raises what one of them raised."""
        async with asyncio.timeout(5):
            while waiting := [task for task in self.started if not task.done()]:
                await asyncio.gather(*waiting)
        for task in self.started:
            task.result()
