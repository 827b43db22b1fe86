"""Claimer: takes jobs from the queue while there is room and this worker can hear stops.

Owns which queue entries are dropped and when: many at once, a moment after they are needless, for the request to the
model leaves first. Guarantees: an entry is dropped only after the job was claimed, by whomever, or waits no more; one
that precedes what it was written for (the queue is written first: its job is not there yet, or not yet given back by
who had it) is tried again until a grace is over, and one whose job's server is away until it is back. Nothing is
claimed by a worker that is deaf or draining.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from andon.errors import StoreUnavailable
from andon.ids import WorkerId
from andon.queue import Entry, Queue
from andon.replies import Claimed, Refused
from andon.store import Store
from worker.roster import Roster

_log = structlog.get_logger(__name__)

_MOST_AT_ONCE: Final = 64
_BLOCK_S: Final = 0.5
_NOT_THERE_YET_S: Final = 0.05
_NOT_THERE_YET_MOST_S: Final = 0.5
# Not there yet, or, where a requeue is under way, with its owner still.
_TOO_EARLY: Final = frozenset({Refused.GONE, Refused.TAKEN})
# How long an entry may precede its job: a gateway that writes the entry and dies never writes the job.
_GRACE_S: Final = 10.0
# How long the next read waits for the claims of the last one at most: those who come meanwhile wait, too.
_READ_AGAIN_S: Final = 0.002
# An entry that outlives its claim by so much costs nothing: whoever reads it finds the job taken.
_DROP_AFTER_S: Final = 0.01
_STORE_RETRY_S: Final = 0.25
_STORE_RETRY_MOST_S: Final = 2.0


class _Begun:
    """An entry that is being decided."""

    __slots__ = ("decided", "entry", "told")

    def __init__(self, entry: Entry, decided: "asyncio.Future[None]") -> None:
        self.entry = entry
        self.decided = decided
        # What its first claim was answered, or why it was not; None where there is nothing to finish.
        self.told: Any = None


class Claimer:
    """The claims of one life of a worker."""

    def __init__(
        self,
        worker_id: WorkerId,
        *,
        queue: Queue,
        store: Store,
        roster: Roster,
        concurrency: int,
        hears: Callable[[], bool],
        start: Callable[[Claimed], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._worker_id = worker_id
        self._queue = queue
        self._store = store
        self._roster = roster
        self._concurrency = concurrency
        self._hears = hears
        self._start = start
        self._spawn = spawn
        self._stopping = False
        # `run` has ended, or was cancelled.
        self._is_over = False
        # Entries that were read and whose claim is not decided: they take room.
        self._undecided = 0
        # Entries that are needed no more; while there are any, a task is about to drop them.
        self._needless: list[Entry] = []
        # Of the entries that were read last: done when they are decided.
        self._fresh: list[asyncio.Future[None]] = []

    def stop(self) -> None:
        """Stop claiming; `run` returns within half a second, as soon as Redis answers."""
        self._stopping = True

    async def run(self) -> None:
        """Claim until stopped, and every claim that was sent is answered. Cancelling it is safe: entries stay pending.

        A claim that is answered after this returned would start a run that no drain sees.
        """
        try:
            await self._claim_until_stopped()
            while self._undecided or self._needless:
                await self._wait_for_room()
        finally:
            self._is_over = True

    async def _claim_until_stopped(self) -> None:
        while not self._stopping:
            room = self._concurrency - len(self._roster) - self._undecided
            if room <= 0 or not self._hears():
                await self._wait_for_room()
                continue
            self._fresh = []
            try:
                await self._queue.read_to(self.take, min(room, _MOST_AT_ONCE), block_s=_BLOCK_S)
            except StoreUnavailable as error:
                _log.warning("claimer.store_away", error=str(error))
                await asyncio.sleep(_STORE_RETRY_S)
                continue
            if self._fresh:
                # The next read comes after their claims, and after the requests to the model: somebody waits for them.
                await asyncio.wait(self._fresh, timeout=_READ_AGAIN_S)
                await asyncio.sleep(0)

    async def adopt(self, *, every_s: float) -> None:
        """Take over entries that some reader holds without deciding them, for ever: it died, or lost Redis."""
        while True:
            await asyncio.sleep(every_s)
            if self._stopping or not self._hears() or len(self._roster) + self._undecided >= self._concurrency:
                continue
            try:
                self.take(await self._queue.adopt(idle_s=2 * every_s))
            except StoreUnavailable as error:
                _log.info("claimer.not_adopted", error=str(error))

    async def _wait_for_room(self) -> None:
        self._roster.changed.clear()
        try:
            async with asyncio.timeout(_STORE_RETRY_S):
                await self._roster.changed.wait()
        except TimeoutError:
            pass  # deafness ends without an event: look again

    def take(self, entries: list[Entry]) -> None:
        """Decide entries, each on its own: one slow claim holds up no other. Does not wait, and does not fail.

        The claims leave within this call, and runs begin within the callback in which they are answered.
        """
        self._undecided += len(entries)
        for entry in entries:
            begun = _Begun(entry, asyncio.get_running_loop().create_future())
            self._fresh.append(begun.decided)
            is_sent = (
                not self._stopping
                and self._hears()
                and self._store.begin_claim(entry.response_id, self._worker_id, partial(self._answered, begun))
            )
            if not is_sent:
                self._spawn(self._decide(begun))

    def _answered(self, begun: _Begun, told: Claimed | Any) -> None:
        """Start the run that was claimed; anything else is for a task to see to."""
        if not isinstance(told, Claimed):
            begun.told = told
            self._spawn(self._decide(begun))
            return
        try:
            self._start_once(told)
        except Exception as error:  # noqa: BLE001  our bug: raised where it ends the worker, not its connection
            begun.told = error
            self._spawn(self._decide(begun))
        else:
            # The request to the model leaves in the next turn: what follows the start comes after it.
            asyncio.get_running_loop().call_soon(self._started, begun)

    def _started(self, begun: _Begun) -> None:
        # Else nobody owns tasks any more: the entry stays pending, and whoever adopts it drops it.
        if not self._is_over:
            self._drop_soon(begun.entry)
        self._note_decided(begun)

    def _start_once(self, claimed: Claimed) -> None:
        if claimed.response_id not in self._roster:  # a second entry of a job that runs here
            self._start(claimed)

    def _note_decided(self, begun: _Begun) -> None:
        self._undecided -= 1
        begun.decided.set_result(None)
        self._roster.changed.set()

    async def _decide(self, begun: _Begun) -> None:
        entry = begun.entry
        try:
            if await self._insist(begun):
                self._drop_soon(entry)
        except StoreUnavailable as error:
            # Claimed or not, the entry stays pending: whoever adopts it finds out.
            _log.warning("claim.undecided", response=entry.response_id, error=str(error))
        finally:
            self._note_decided(begun)

    def _drop_soon(self, entry: Entry) -> None:
        self._needless.append(entry)
        if len(self._needless) == 1:
            self._spawn(self._drop())

    async def _drop(self) -> None:
        await asyncio.sleep(0 if self._stopping else _DROP_AFTER_S)
        entries, self._needless = self._needless, []
        try:
            await self._queue.drop(entries)
        except StoreUnavailable as error:
            _log.info("claimer.not_dropped", entries=len(entries), error=str(error))  # whoever adopts them drops them
        finally:
            self._roster.changed.set()

    async def _insist(self, begun: _Begun) -> bool:
        """Try to claim until Redis answers: others would adopt the entry only after two leases. True as of `_claim`.

        A repeat is answered as the claim was whose reply was lost.
        """
        delay_s = _STORE_RETRY_S
        while True:
            try:
                return await self._claim(begun)
            except StoreUnavailable as error:
                if self._stopping:
                    raise
                _log.info("claim.repeated", response=begun.entry.response_id, error=str(error))
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _STORE_RETRY_MOST_S)

    async def _claim(self, begun: _Begun) -> bool:
        """Try to claim; True if the entry is needed no more. A claim that was begun is finished first."""
        entry, delay_s = begun.entry, _NOT_THERE_YET_S
        while True:
            told, begun.told = begun.told, None
            if told is not None:
                claimed = await self._store.finish_claim(entry.response_id, self._worker_id, told)
            # Deaf since it was read: reads block for a while.
            elif self._stopping or not self._hears():
                return await self._put_back(entry)
            else:
                claimed = await self._store.claim(entry.response_id, self._worker_id)
            if isinstance(claimed, Claimed):
                self._start_once(claimed)
                return True
            await self._store.forget(self._worker_id, entry.response_id)
            if claimed not in _TOO_EARLY or time.time() - entry.written_at_s > _GRACE_S:
                return True
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _NOT_THERE_YET_MOST_S)

    async def _put_back(self, entry: Entry) -> bool:
        """Let another worker have it at once, not after the time of adoption."""
        await self._queue.put(entry.response_id)
        return True
