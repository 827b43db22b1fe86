"""Watcher: one console on the live feed.

Owns what it was sent, and what it is sent next: a snapshot, then what differs from it. There is no queue: a message is
made from the newest sight when the one before has gone out. Whoever reads slowly is sent less, and, once it has missed
a sight, a fresh snapshot. Guarantees: what a console holds after a message is what the sight of that number showed, as
far as its filter and its tenant go.
"""

import asyncio
import contextlib
from typing import Any, Final, cast

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from andon.audit import Entry
from andon.closecodes import CLOSE_CODES, CloseCode
from andon.frames import encode
from andon.ids import ResponseId
from gateway.admin.filter import Filter
from gateway.admin.rows import Row
from gateway.admin.shown import broadcast_row
from gateway.admin.sight import Collector, Sight
from gateway.auth.permit import Permit
from gateway.http.departure import while_there
from gateway.wire import PIECE_BYTES, Piece

_log = structlog.get_logger(__name__)

# Parts of a message that are sent again only when they differ.
_PARTS: Final = ("workers", "gateways", "broadcasts")


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
        self._parts: dict[str, Any] = {}
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

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> None:
        """Close a console that does not take one message in so long."""
        if self._sending_since is not None and now - self._sending_since > slow_reader_s:
            _log.info("feed.too_slow")
            self.close(CloseCode.TOO_SLOW, CLOSE_CODES[CloseCode.TOO_SLOW][0])

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

    def message(self, sight: Sight) -> dict[str, Any] | None:
        """Return what brings it to this sight, and take it for told; None if nothing differs."""
        rows = {rid: row for rid, row in sight.rows.items() if self._wanted.takes(row, sight.at)}
        parts = {
            "workers": sight.workers,
            "gateways": sight.gateways,
            "broadcasts": [broadcast_row(each) for each in sight.broadcasts if self._may_see(each.within)],
        }
        stops = [stop_row(entry) for entry in sight.stops if self._may_see(entry.tenant)]
        has_missed = sight.number != self._number + 1 or not self._number
        told = self._snapshot(rows, parts) if has_missed else self._changes(rows, parts)
        if stops:
            told["stops"] = stops
        self._number, self._rows, self._parts = sight.number, rows, parts
        if not has_missed and not told:
            return None
        return {"type": "snapshot" if has_missed else "changes", "number": sight.number, "at": sight.at, **told}

    def _may_see(self, tenant: str | None) -> bool:
        return self._wanted.within in {None, tenant}

    @staticmethod
    def _snapshot(rows: dict[ResponseId, Row], parts: dict[str, Any]) -> dict[str, Any]:
        return {"responses": list(rows.values()), **parts}

    def _changes(self, rows: dict[ResponseId, Row], parts: dict[str, Any]) -> dict[str, Any]:
        before = self._rows
        upserts, tokens = [], {}
        for rid, row in rows.items():
            known = before.get(rid)
            if known is None or not row.is_like(known):
                upserts.append(row)
            elif (row.tokens, row.tokens_per_s) != (known.tokens, known.tokens_per_s):
                tokens[rid] = (row.tokens, row.tokens_per_s)
        told: dict[str, Any] = {
            "upserts": upserts,
            "tokens": tokens,
            "removals": [rid for rid in before if rid not in rows],
        }
        told = {name: value for name, value in told.items() if value}
        told.update({name: parts[name] for name in _PARTS if parts[name] != self._parts[name]})
        return told

    async def _send(self, frame: bytes) -> None:
        """Send one message in pieces: pings get in between, and no buffer holds all of it."""
        self._sending_since = asyncio.get_running_loop().time()
        for at in range(0, len(frame), PIECE_BYTES):
            utf8, is_last = frame[at : at + PIECE_BYTES], at + PIECE_BYTES >= len(frame)
            piece = Piece(type="websocket.send", utf8=utf8, is_first=at == 0, is_last=is_last)
            await self._websocket.send(cast("Message", piece))
        self._sending_since = None


def stop_row(entry: Entry) -> dict[str, Any]:
    """Write a settled stop, in seconds from its recording: what a console charts."""

    def after(time: float | None) -> float | None:
        return None if time is None or entry.recorded is None else round(time - entry.recorded, 6)

    return {
        "response_id": entry.response_id,
        "tenant": entry.tenant,
        "by": entry.asker.by,
        "door": entry.asker.door,
        "reason": entry.reason,
        "recorded": entry.recorded,
        "acked_s": after(entry.acked),
        "upstream_closed_s": after(entry.upstream_closed),
        "settled_s": after(entry.settled),
    }
