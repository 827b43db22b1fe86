"""Settlements: from the outbox of a session to the stream that billing reads.

Owns the shipping. The settle script writes a record to the outbox in the session's own slot, together with the
ending; the shipper copies it to `andon:settlements`, at least once, and deletes it from the outbox after. A consumer
deduplicates by `response_id`. Guarantees: a settled response has its record in the outbox or in the stream, whatever
process dies; both are kept for 7 days. In a cluster the two are on different masters, and either may fail: there a copy
has `_REPLICATES_S` to reach its replica before the original goes.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import Final

import msgspec
import structlog

from andon import keys
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.ids import ResponseId, SessionTag
from andon.link import Argument
from andon.places import Places
from andon.script import script

_log = structlog.get_logger(__name__)

KEEP_S: Final = 7 * 86400
_AT_ONCE: Final = 100
# Far longer than a replica that is in step is behind. No WAIT: it would hold up all else that this process says there.
_REPLICATES_S: Final = 1.0
# Policy when full: forget; the sweep ships what lies in an outbox.
_MOST_NOTED: Final = 10_000


class _Copied(msgspec.Struct, frozen=True):
    """Records that may leave an outbox, from this loop time on."""

    at: float
    tag: SessionTag
    entry_ids: list[bytes]


class _Owner(msgspec.Struct):
    """Whose response a record is about."""

    tenant: str = ""
    subject: str = ""


class Shipper:
    """Ships outboxes: those that are noted, soon; any that is asked for, at once.

    Every ending passes here, so the place that it took up (`andon.places`) is freed here, too.
    """

    def __init__(self, database: Database, places: Places | None = None) -> None:
        self._database = database
        self._places = places
        self._noted: dict[SessionTag, None] = {}
        # In a cluster: copied, and still in their outboxes; oldest first. When full they leave at once.
        self._copied: deque[_Copied] = deque()
        # The last entry of each of those outboxes that was copied: what comes after it is new.
        self._copied_up_to: dict[SessionTag, bytes] = {}
        self._wake = asyncio.Event()

    def note(self, tag: SessionTag) -> None:
        """Take note that this session's outbox has a record. Does not wait."""
        if len(self._noted) < _MOST_NOTED:
            self._noted[tag] = None
            self._wake.set()

    async def run(self) -> None:
        """Ship what is noted, for ever. Cancelling it is safe: a record leaves the outbox after its copy."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLICATES_S if self._copied else None):
                    await self._wake.wait()
            self._wake.clear()
            tags = list(self._noted)
            self._noted.clear()
            for tag in tags:
                try:
                    await self.ship(tag)
                except StoreUnavailable as error:
                    _log.info("settlement.not_shipped", session=tag, error=str(error))  # the sweep ships it
            await self._drop_copied()

    async def ship(self, tag: SessionTag) -> int:
        """Ship all records of one session; return how many. Raises StoreUnavailable."""
        shipped, after = 0, _after(self._copied_up_to.get(tag))
        while rows := await self._database.call("XRANGE", keys.outbox(tag), after, "+", "COUNT", _AT_ONCE):
            oldest_ms = int((time.time() - KEEP_S) * 1000)
            copies = [
                self._database.call("XADD", keys.SETTLEMENTS, "MINID", "~", oldest_ms, "*", *fields)
                for _, fields in rows
            ]
            copies.append(self._database.call("EXPIRE", keys.SETTLEMENTS, KEEP_S))
            copies += [self._database.call(*free) for _, fields in rows for free in self._endings(fields)]
            await asyncio.gather(*copies)
            copied = _Copied(self._now() + _REPLICATES_S, tag, [entry_id for entry_id, _ in rows])
            if self._database.is_spread and len(self._copied) < _MOST_NOTED:
                self._copied.append(copied)
                self._copied_up_to[tag] = copied.entry_ids[-1]
            else:
                await self._drop(copied)
            shipped += len(rows)
            after = _after(copied.entry_ids[-1])
        return shipped

    async def _drop_copied(self) -> None:
        """Drop what has been copied for long enough; what Redis does not let go now is shipped again by the sweep."""
        while self._copied and self._copied[0].at <= self._now():
            try:
                await self._drop(self._copied.popleft())
            except StoreUnavailable as error:
                _log.info("settlement.not_dropped", error=str(error))

    async def _drop(self, copied: _Copied) -> None:
        if self._copied_up_to.get(copied.tag) == copied.entry_ids[-1]:
            del self._copied_up_to[copied.tag]
        # An empty stream would stay for a week, one for every session that ever was.
        await self._database.eval(script("shipped"), [keys.outbox(copied.tag)], copied.entry_ids)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _endings(self, fields: list[bytes]) -> list[tuple[Argument, ...]]:
        """Return the commands that free the place of the response that a record is about."""
        if self._places is None or not self._places.are_counted:
            return []
        entry = dict(zip(fields[::2], fields[1::2], strict=True))
        owner = msgspec.json.decode(entry[b"settlement"], type=_Owner)
        return self._places.endings(owner.tenant, owner.subject, ResponseId(entry[b"response_id"].decode()))


def _after(entry_id: bytes | None) -> str:
    """Return the start of a range that begins after this entry; at the first, where there is none."""
    return "-" if entry_id is None else f"({entry_id.decode()}"
