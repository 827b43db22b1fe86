"""Trail: this process' part of the audit: what it was asked to stop, and what became of it.

Owns when entries are written: `asked` on the connection of the stop, just before it, without waiting for it; each
`outcome` once the job is settled or the bound is over, many in one write. Does not own the stops.

Guarantees: an audit that cannot be written delays and fails no stop; what Redis refused waits in memory, bounded, and
is written when it can be; what is dropped is logged. After a crash between a stop and its audit the ask is there, for
Redis got it first (with a stop on another node of a cluster the order is not guaranteed).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import ResponseError

from andon import audit
from andon.audit import Asker, AuditId, Entry, Outcome, Role, Step, new_audit_id, with_receipt
from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from andon.replies import Fate, StopOutcome, StopReceipt
from andon.store import Store

_log = structlog.get_logger(__name__)

_GATHER_S: Final = 0.1
_LOOK_FIRST_S: Final = 0.2
_LOOK_MOST_S: Final = 2.0
_TRIM_EVERY_S: Final = 60.0
_LAST_WORDS_S: Final = 1.0
_AT_ONCE: Final = 500
# Policies when full: the oldest is told as unsettled; the oldest is dropped, and logged whole.
_MOST_FOLLOWED: Final = 50_000
_MOST_UNWRITTEN: Final = 10_000


class Ask(msgspec.Struct, frozen=True):
    """A stop as it was asked for."""

    id: AuditId
    asker: Asker
    reason: str | None
    tenant: str


class _Followed(msgspec.Struct):
    """A stop whose outcome is not written yet. Times on the loop's clock."""

    ask: Ask
    receipt: StopReceipt
    gives_up_at: float
    look_at: float
    pause_s: float = _LOOK_FIRST_S


class Trail:
    """The audit as one process writes it. `run` it beside everything else."""

    def __init__(self, store: Store, *, process: str) -> None:
        self._store = store
        self._process = process
        self._max_entries = store.settings.audit_max_entries
        # A dead worker's jobs are settled a lease and a sweep after its death.
        self._within_s = 60.0 + 3 * store.settings.lease_s
        self._followed: deque[_Followed] = deque()
        # Refused by Redis, oldest first; and sent, not yet answered.
        self._unwritten: deque[Entry] = deque()
        self._sent: set[asyncio.Future[Any]] = set()
        self._wake = asyncio.Event()
        self._trim_at = 0.0

    # ── what others say; none of these waits ─────────────────────────────────────────────────────────────────────

    def ask(
        self,
        asker: Asker,
        response_ids: Sequence[ResponseId] = (),
        *,
        reason: str | None,
        session: str | None = None,
        scope: dict[str, Any] | None = None,
        tenant: str | None = None,
        audit_id: AuditId | None = None,
    ) -> Ask:
        """Write that a stop is asked for; call it right before the stop is sent.

        `tenant`: whom it concerns, where that is not the owner's own.
        """
        own = "" if asker.role is not Role.OWNER or asker.principal is None else asker.principal.tenant
        ask = Ask(audit_id or new_audit_id(), asker, reason, own if tenant is None else tenant)
        self._write(
            # Made at once: the stop waits for it.
            Entry(
                ask.id,
                Step.ASKED,
                round(time.time(), 6),
                asker,
                self._process,
                ask.tenant,
                response_ids=tuple(response_ids[: audit.MOST_LISTED]),
                count=len(response_ids) if len(response_ids) > audit.MOST_LISTED else 0,
                session=session,
                scope=scope,
                reason=reason,
            )
        )
        return ask

    def follow(self, ask: Ask, receipts: Iterable[StopReceipt]) -> None:
        """Write the outcome of these stops when it is known."""
        now = asyncio.get_running_loop().time()
        for receipt in receipts:
            self._followed.append(_Followed(ask, receipt, now + self._within_s, now))
        while len(self._followed) > _MOST_FOLLOWED:
            oldest = self._followed.popleft()
            self._write(self._told(oldest, oldest.receipt, ask.tenant, Outcome.UNSETTLED))
        self._wake.set()

    def conclude(
        self, ask: Ask, outcome: Outcome, *, scope: dict[str, Any] | None = None, progress: dict[str, Any] | None = None
    ) -> None:
        """Write an outcome that is known at once: a refusal, or the end of a broadcast."""
        entry = self._entry(ask, Step.OUTCOME)
        self._write(msgspec.structs.replace(entry, outcome=outcome, scope=scope, progress=progress))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, ask: Ask, step: Step) -> Entry:
        at = round(time.time(), 6)
        return Entry(ask.id, step, at, ask.asker, self._process, ask.tenant, reason=ask.reason)

    def _told(self, followed: _Followed, receipt: StopReceipt, tenant: str, outcome: Outcome) -> Entry:
        entry = msgspec.structs.replace(self._entry(followed.ask, Step.OUTCOME), tenant=tenant, outcome=outcome)
        return with_receipt(entry, receipt)

    def _write(self, entry: Entry) -> None:
        """Send an entry where stops go. Does not wait."""
        added, _ = self._store.beside_stops(audit.writing(entry, self._max_entries))
        self._sent.add(added)
        added.add_done_callback(partial(self._written, entry))

    def _written(self, entry: Entry, reply: "asyncio.Future[Any]") -> None:
        self._sent.discard(reply)
        error = _seen(reply)
        if error is None:
            return
        _log.warning("audit.not_written", id=entry.id, step=entry.step, error=str(error))
        self._unwritten.append(entry)
        while len(self._unwritten) > _MOST_UNWRITTEN:
            _log_lost(self._unwritten.popleft())
        self._wake.set()

    # ── the rounds ───────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write outcomes for ever. At its end it says what is known by then."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(_GATHER_S)
                self._wake.clear()
                try:
                    await self._round()
                except StoreUnavailable as error:
                    _log.info("audit.store_away", error=str(error))
                if self._followed or self._unwritten:
                    self._wake.set()
        finally:
            with contextlib.suppress(TimeoutError, StoreUnavailable):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._round(is_last=True)
                    while self._sent:
                        await asyncio.wait(self._sent)
            for entry in self._unwritten:
                _log_lost(entry)

    async def _round(self, *, is_last: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        await self._write_again()
        due = [followed for followed in self._followed if is_last or followed.look_at <= now]
        for first in range(0, len(due), _AT_ONCE):
            await self._look(due[first : first + _AT_ONCE], is_last=is_last)
        over = {id(followed) for followed in due if followed.look_at < 0}
        if over:
            self._followed = deque(followed for followed in self._followed if id(followed) not in over)
        if due and now >= self._trim_at:
            self._trim_at = now + _TRIM_EVERY_S
            await audit.trim(self._store.database)

    async def _write_again(self) -> None:
        """Write what Redis refused, one first: while it is full or away, the rest would only be refused again."""
        while self._unwritten:
            entry = self._unwritten[0]
            added, expires = self._store.beside_stops(audit.writing(entry, self._max_entries))
            expires.add_done_callback(_seen)
            try:
                await added
            except ResponseError as error:
                raise StoreUnavailable(str(error)) from error
            self._unwritten.popleft()

    async def _look(self, due: list[_Followed], *, is_last: bool) -> None:
        """Read how far these stops got; write the outcome of those that are over."""
        now = asyncio.get_running_loop().time()
        looks = await self._store.fates([followed.receipt.response_id for followed in due])
        for followed, fate in zip(due, looks, strict=True):
            ask, receipt = followed.ask, followed.receipt
            known = receipt
            if receipt.outcome is StopOutcome.RECORDED and fate is not None:
                known = msgspec.structs.replace(fate.receipt, replicated=receipt.replicated)
            outcome = _outcome(receipt, known, None if fate is None else fate.tenant)
            if outcome is None:
                if now < followed.gives_up_at and not is_last:
                    followed.look_at = now + followed.pause_s
                    followed.pause_s = min(2 * followed.pause_s, _LOOK_MOST_S)
                    continue
                outcome = Outcome.UNSETTLED
            followed.look_at = -1.0  # over
            self._write(_of_whom(self._told(followed, known, ask.tenant, outcome), fate))


def _of_whom(entry: Entry, fate: Fate | None) -> Entry:
    """Say whom a stop concerned, and as what it was asked for: both are known only from the job.

    By an ordinary door an operator may stop what is another's; what it could not stop is told under its own tenant.
    """
    asker = entry.asker
    if fate is None:
        return entry
    if asker.role is not Role.OWNER:
        return msgspec.structs.replace(entry, tenant=fate.tenant)
    is_own = asker.principal is None or (asker.principal.tenant, asker.principal.subject) == (fate.tenant, fate.subject)
    if is_own or entry.outcome is Outcome.FOREIGN:
        return entry
    return msgspec.structs.replace(entry, tenant=fate.tenant, asker=msgspec.structs.replace(asker, role=Role.OPERATOR))


def _outcome(asked: StopReceipt, known: StopReceipt, tenant: str | None) -> Outcome | None:
    """Say what became of a stop; None: not over yet."""
    match asked.outcome:
        case StopOutcome.UNKNOWN:
            return Outcome.UNKNOWN if tenant is None else Outcome.FOREIGN
        case StopOutcome.ALREADY_ENDED:
            return Outcome.ALREADY_ENDED
        case StopOutcome.RECORDED if known.settled is not None:
            return Outcome.STOPPED
        case _:
            return Outcome.GONE if tenant is None else None


def _seen(reply: "asyncio.Future[Any]") -> BaseException | None:
    """Look at a reply that nobody waits for."""
    return None if reply.cancelled() else reply.exception()


def _log_lost(entry: Entry) -> None:
    _log.warning("audit.lost", entry=msgspec.to_builtins(entry))
