"""Sight: what a console is shown of one moment, and the collector that takes it.

Owns one collection about a second, shared by all watchers of this gateway, and only while there is a watcher. Does not
own what each of them has seen (`gateway.admin.watcher`). A failed collection is told in the log and tried again: the
watchers go on with what they have.

What one collection costs: that of `gateway.admin.rows`, and some 30 commands for workers, gateways, broadcasts and the
audit. With 2,000 live responses in as many sessions that is about 4,050 commands, in nine writes.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import structlog

from andon.audit import AuditReader, Entry, Outcome, Step
from andon.broadcasts import Broadcast, Broadcasts
from andon.errors import ContractError, StoreUnavailable
from andon.gateways import Gateways
from andon.ids import ResponseId
from andon.lease import Leases
from gateway.admin.lists import gateway_row, worker_row
from gateway.admin.rows import Row, Rows

_log = structlog.get_logger(__name__)

EVERY_S: Final = 1.0
_BROADCASTS: Final = 10
# Stops that one collection tells; a broadcast of more is told by its own account.
_MOST_STOPS: Final = 2000


class Sight(msgspec.Struct, frozen=True):
    """One moment. `number` counts the collections of this gateway; `stops`: outcomes since the one before."""

    number: int
    at: float
    rows: dict[ResponseId, Row]
    workers: list[dict[str, Any]]
    gateways: list[dict[str, Any]]
    broadcasts: list[Broadcast]
    stops: list[Entry]


class Collector:
    """Collects while somebody watches."""

    def __init__(
        self, *, rows: Rows, leases: Leases, gateways: Gateways, broadcasts: Broadcasts, audit: AuditReader
    ) -> None:
        self._rows = rows
        self._leases = leases
        self._gateways = gateways
        self._broadcasts = broadcasts
        self._audit = audit
        self._watchers = 0
        # Set while somebody watches.
        self._wanted = asyncio.Event()
        # The newest sight; none before the first, and none after the last watcher left.
        self._latest: Sight | None = None
        # Replaced, and set, at each collection.
        self._next = asyncio.Event()
        self._number = 0
        self._audit_place = ""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Have it collect for as long as the context lasts."""
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._wanted.clear()
                self._latest = None

    async def newer_than(self, number: int) -> Sight:
        """Return the newest sight, as soon as there is one after this number. Cancelling the wait is safe."""
        while self._latest is None or self._latest.number <= number:
            await self._next.wait()
        return self._latest

    async def run(self) -> None:
        """Collect for ever, while somebody watches."""
        while True:
            if not self._wanted.is_set():
                self._audit_place = ""
                await self._wanted.wait()
            try:
                self._show(await self._collect())
            except (StoreUnavailable, ContractError) as error:
                _log.warning("feed.not_collected", error=str(error))
            await asyncio.sleep(EVERY_S)

    def _show(self, sight: Sight) -> None:
        if self._wanted.is_set():
            self._latest = sight
        waiting, self._next = self._next, asyncio.Event()
        waiting.set()

    async def _collect(self) -> Sight:
        if not self._audit_place:
            self._audit_place = await self._audit.last()  # stops before the first watcher are the audit's
        standings = await self._leases.standings()
        rows = await self._rows.all(standings)
        gateways = await self._gateways.list()
        broadcasts = await self._broadcasts.recent(_BROADCASTS)
        stops = await self._stops()
        self._number += 1
        return Sight(
            number=self._number,
            at=round(time.time(), 3),
            rows={row.id: row for row in rows},
            workers=[worker_row(standing) for standing in standings],
            gateways=[gateway_row(about) for about in gateways],
            broadcasts=broadcasts,
            stops=stops,
        )

    async def _stops(self) -> list[Entry]:
        found: list[Entry] = []
        async for place, entry in self._audit.entries(self._audit_place, "+", tenant=None):
            self._audit_place = place
            if entry is not None and entry.step is Step.OUTCOME and entry.outcome is Outcome.STOPPED:
                found.append(entry)
            if len(found) >= _MOST_STOPS:
                break
        return found
