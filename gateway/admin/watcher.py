"""Watcher: one console on the live feed.

Owns what it was sent, and what it is sent next: a snapshot, then what differs from it. There is no queue: a message is
made from the newest sight when the one before has gone out. Whoever reads slowly is sent less, and, once it has missed
a sight, a fresh snapshot. Guarantees: what a console holds after a message is what the sight of that number showed, as
far as its filter and its tenant go.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, cast

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from andon.closecodes import CLOSE_CODES, CloseCode
from andon.frames import encode
from andon.gateways import AboutGateway
from andon.ids import ResponseId
from gateway.admin.feed import Changes, Snapshot, settled_stop
from gateway.admin.filter import Filter
from gateway.admin.rows import Row
from gateway.admin.shown import ShownBroadcast, ShownWorker, broadcast_row
from gateway.admin.sight import Collector, Sight
from gateway.auth.permit import Permit
from gateway.http.departure import while_there
from gateway.wire import PIECE_BYTES, Piece

_log = structlog.get_logger(__name__)

# What a message says even where nothing differs.
_ALWAYS: Final = frozenset({"type", "number", "at"})


class _Parts(msgspec.Struct, frozen=True):
    """Parts of a message that are sent again only when they differ."""

    workers: list[ShownWorker] = []
    gateways: list[AboutGateway] = []
    broadcasts: list[ShownBroadcast] = []


class Watcher:
    """One console. `run` it until it leaves."""

    def __init__(self, websocket: WebSocket, permit: Permit, wanted: Filter, collector: Collector) -> None:
        # What the console was let in with.
        self.permit: Permit = permit
        self._websocket = websocket
        self._wanted = wanted
        self._collector = collector
        # What it was sent: the number of the sight, its rows and its other parts.
        self._number = 0
        self._rows: dict[ResponseId, Row] = {}
        self._parts = _Parts()
        # Loop time since which a message has been going out.
        self._sending_since: float | None = None
        # Set once it is to be closed, with code and reason.
        self._closing: asyncio.Future[tuple[CloseCode, str]] = asyncio.get_running_loop().create_future()

    def close(self, code: CloseCode, reason: str) -> None:
        """Close it; the first decision stays."""
        if not self._closing.done():
            self._closing.set_result((code, reason))

    def lapse(self, reason: str) -> None:
        """Close it: its permit holds no more."""
        self.close(CloseCode.UNAUTHORIZED, reason)

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """Close a console that does not take one message in so long."""
        if self._closing.done() or self._sending_since is None or now - self._sending_since <= slow_reader_s:
            return False
        _log.info("feed.too_slow")
        self.close(CloseCode.TOO_SLOW, CLOSE_CODES[CloseCode.TOO_SLOW][0])
        return True

    async def run(self) -> None:
        """Show until the console leaves or is closed."""
        showing = asyncio.ensure_future(while_there(self._websocket.receive, self._show()))
        try:
            await asyncio.wait((showing, self._closing), return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done():
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may be gone by now
                    await self._websocket.close(*self._closing.result())
            else:
                with contextlib.suppress(ClientDisconnect):  # consoles leave
                    showing.result()
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _show(self) -> None:
        with self._collector.watching():
            while True:
                sight = await self._collector.newer_than(self._number)
                message = self.message(sight)
                if message is not None:
                    await self._send(encode(message))

    # ── what it is told ──────────────────────────────────────────────────────────────────────────────────────────

    def message(self, sight: Sight) -> Snapshot | Changes | None:
        """Return what brings it to this sight, and take it for told; None if nothing differs."""
        rows = {rid: row for rid, row in sight.rows.items() if self._wanted.takes(row, sight.at)}
        broadcasts = [broadcast_row(each) for each in sight.broadcasts if self._may_see(each.within)]
        parts = _Parts(sight.workers, sight.gateways, broadcasts)
        stops = [settled_stop(entry) for entry in sight.stops if self._may_see(entry.tenant)]
        has_missed = sight.number != self._number + 1 or not self._number
        told = _snapshot(sight, rows, parts) if has_missed else self._changes(sight, rows, parts)
        if stops:
            told["stops"] = stops
        self._number, self._rows, self._parts = sight.number, rows, parts
        return told if has_missed or told.keys() - _ALWAYS else None

    def _may_see(self, tenant: str | None) -> bool:
        return self._wanted.within in {None, tenant}

    def _changes(self, sight: Sight, rows: dict[ResponseId, Row], parts: _Parts) -> Changes:
        before = self._rows
        upserts: list[Row] = []
        tokens: dict[ResponseId, Sequence[float]] = {}
        for rid, row in rows.items():
            known = before.get(rid)
            if known is None or not row.is_like(known):
                upserts.append(row)
            elif (row.tokens, row.tokens_per_s) != (known.tokens, known.tokens_per_s):
                tokens[rid] = (row.tokens, row.tokens_per_s)
        told: Changes = {"type": "changes", "number": sight.number, "at": sight.at}
        if upserts:
            told["upserts"] = upserts
        if tokens:
            told["tokens"] = tokens
        if removals := [rid for rid in before if rid not in rows]:
            told["removals"] = removals
        if parts.workers != self._parts.workers:
            told["workers"] = parts.workers
        if parts.gateways != self._parts.gateways:
            told["gateways"] = parts.gateways
        if parts.broadcasts != self._parts.broadcasts:
            told["broadcasts"] = parts.broadcasts
        return told

    async def _send(self, frame: bytes) -> None:
        """Send one message in pieces: pings get in between, and no buffer holds all of it."""
        self._sending_since = asyncio.get_running_loop().time()
        for at in range(0, len(frame), PIECE_BYTES):
            utf8, is_last = frame[at : at + PIECE_BYTES], at + PIECE_BYTES >= len(frame)
            piece = Piece(type="websocket.send", utf8=utf8, is_first=at == 0, is_last=is_last)
            await self._websocket.send(cast("Message", piece))
        self._sending_since = None


def _snapshot(sight: Sight, rows: dict[ResponseId, Row], parts: _Parts) -> Snapshot:
    return {
        "type": "snapshot",
        "number": sight.number,
        "at": sight.at,
        "responses": list(rows.values()),
        "workers": parts.workers,
        "gateways": parts.gateways,
        "broadcasts": parts.broadcasts,
    }
