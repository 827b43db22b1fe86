"""Roster: the runs of one life of a worker.

Owns which runs are live, their tasks, and how a stop finds its run. Does not own what a run writes. Guarantees: a
run's failure ends that run alone; a stop reaches one run and no other; a hint about another generation than the one
that runs here is not obeyed but checked against the mark.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import structlog
from structlog.contextvars import bind_contextvars

from andon.errors import StoreUnavailable
from andon.hint import Hint
from andon.ids import ResponseId, SessionTag
from andon.logs import about
from andon.replies import Outcome, Written
from andon.rescue import Rescuer
from andon.store import Store
from andon.telemetry import StopPath
from worker.scribe import Scribe
from worker.verdict import Loss

_log = structlog.get_logger(__name__)

# Until a stop that a failover lost has been asserted again by its gateway.
_STOPS_ARE_BACK_S: Final = 2.0


class Roster:
    """Live runs by response id. `spawn` starts a task in the group that owns them all."""

    def __init__(
        self,
        store: Store,
        *,
        rescuer: Rescuer,
        on_settled: Callable[[SessionTag], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._rescuer = rescuer
        self._on_settled = on_settled
        self._spawn = spawn
        self._runs: dict[ResponseId, Scribe] = {}
        # Set whenever a run ends: the claimer waits for room, the drain for emptiness.
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of live runs."""
        return len(self._runs)

    def __iter__(self) -> Iterator[Scribe]:
        """Iterate over a copy: runs end while others look."""
        return iter(list(self._runs.values()))

    def __contains__(self, response_id: ResponseId) -> bool:
        """Tell whether this response runs here."""
        return response_id in self._runs

    def start(self, scribe: Scribe) -> None:
        """Start a run as a task of its own."""
        self._runs[scribe.response_id] = scribe
        self._store.telemetry.run_begun()
        # Before the run's own task: the model is asked a turn sooner.
        scribe.begin()
        self._spawn(self._run(scribe))

    async def _run(self, scribe: Scribe) -> None:
        # Whatever is logged in this task, and in those that it starts, is about this response.
        bind_contextvars(**about(scribe.response_id, scribe.job.whose))
        try:
            try:
                await scribe.run()
            except Exception:  # noqa: BLE001  see below
                # A run's outermost boundary: its siblings go on. Its owner lives, so nobody else would end the job.
                _log.exception("run.crashed")
                await self._rescuer.rescue_job(scribe.response_id, scribe.job.worker_id)
            if scribe.loss is Loss.CUT:
                # The same: a failover lost what this run had logged, and nobody else would end what is left. If it lost
                # a stop as well, the gateway that recorded it asserts it once a second: it shall come first.
                await asyncio.sleep(_STOPS_ARE_BACK_S)
                await self._rescuer.rescue_job(scribe.response_id, scribe.job.worker_id)
            self._on_settled(scribe.job.tag)
            await self._store.forget(scribe.job.worker_id, scribe.response_id)
        except StoreUnavailable as error:
            # Only hints were left behind; the sweep compares them with the job hash.
            _log.info("roster.left_hints", error=str(error))
        finally:
            del self._runs[scribe.response_id]
            self._store.telemetry.run_over()
            self.changed.set()

    def hint(self, hint: Hint) -> None:
        """Obey a published stop. Called within the reader of the stop channel: does not wait."""
        scribe = self._runs.get(hint.response_id)
        if scribe is None:
            return  # ended meanwhile, or not claimed by this life: the mark decides at the claim
        if scribe.job.generation == hint.generation:
            scribe.stop(hint.stop, StopPath.HINT)
        else:
            self._spawn(self._look_at(scribe, StopPath.HINT))

    def look_at(self, scribes: list[Scribe], path: StopPath = StopPath.BEAT) -> None:
        """Read the marks of these runs anew, in one pipelined read: hints may have been lost. Does not wait."""
        for scribe in scribes:
            self._spawn(self._look_at(scribe, path))

    async def _look_at(self, scribe: Scribe, path: StopPath) -> None:
        try:
            outcome = await self._store.look(scribe.job)
        except StoreUnavailable as error:
            # The next beat looks again.
            _log.info("look.failed", **about(scribe.response_id, scribe.job.whose), error=str(error))
            return
        self._learn(scribe, outcome, path)

    @staticmethod
    def _learn(scribe: Scribe, outcome: Outcome, path: StopPath) -> None:
        scribe.heard_at = asyncio.get_running_loop().time()
        match outcome.tag:
            case Written.STOPPED:
                assert outcome.stop is not None
                scribe.stop(outcome.stop, path)
            case Written.GONE:
                scribe.abandon(Loss.GONE)
            case Written.FENCED:
                scribe.abandon(Loss.FENCED)
            case _:
                pass

    def abandon_all(self, loss: Loss) -> None:
        """Close every upstream now and write nothing more."""
        for scribe in self:
            scribe.abandon(loss)

    def drain_all(self) -> None:
        """Requeue or end every run now."""
        for scribe in self:
            scribe.drain()

    async def empty(self) -> None:
        """Wait until no run is live."""
        while self._runs:
            self.changed.clear()
            await self.changed.wait()
