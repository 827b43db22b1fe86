"""A glance at what is live: the operators' feed, as tables.

Owns what is kept of the feed and how it is shown. Does not own the feed (`docs/operating.md`) nor the socket
(`andon.client`). Guarantees: what is shown is what the last message told; a lost connection is told and made again.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from andon.client import CannotConnect, ConnectionLost, connect
from andon.command.failure import CommandFailed

Row = dict[str, Any]

FEED_PATH: Final = "/v1/admin/feed"
_AGAIN_S: Final = 1.0
_FIRST_S: Final = 10.0
_REFRESH_A_SECOND: Final = 2
_ID_CHARS: Final = 14

ORDERS: Final[dict[str, Callable[[Row], float]]] = {
    "rate": lambda row: -row["tokens_per_s"],
    "tokens": lambda row: -row["tokens"],
    "age": lambda row: row["created_at"],
}


class Glance:
    """What the feed has told so far."""

    def __init__(self) -> None:
        self.responses: dict[str, Row] = {}
        self.parts: dict[str, list[Row]] = {"workers": [], "gateways": [], "broadcasts": []}
        self.at = 0.0
        # Milliseconds from stop to closed of the stops that were told, the last hundred.
        self.closed_ms: list[float] = []

    def take(self, message: Row) -> None:
        """Take one message of the feed."""
        self.at = message["at"]
        if message["type"] == "snapshot":
            self.responses = {row["id"]: row for row in message["responses"]}
        for row in message.get("upserts", ()):
            self.responses[row["id"]] = row
        for response_id, (tokens, rate) in message.get("tokens", {}).items():
            if response_id in self.responses:
                self.responses[response_id] |= {"tokens": tokens, "tokens_per_s": rate}
        for response_id in message.get("removals", ()):
            self.responses.pop(response_id, None)
        self.parts.update({name: message[name] for name in self.parts if name in message})
        closed = [stop["upstream_closed_s"] for stop in message.get("stops", ())]
        self.closed_ms = [*self.closed_ms, *(s * 1000 for s in closed if s is not None)][-100:]


async def show_once(url: str, *, token: str | None, by: str, rows: int, as_json: bool) -> None:
    """Print one moment. Raises CannotConnect, and CommandFailed if the feed tells nothing."""
    glance = Glance()
    try:
        async with asyncio.timeout(_FIRST_S), connect(_feed_of(url), token=token) as feed:
            async for message in feed:
                glance.take(message)
                break
    except TimeoutError as error:
        raise CommandFailed(f"the feed told nothing within {_FIRST_S:.0f} s; is Redis there?") from error
    except ConnectionLost as error:
        raise CommandFailed(f"the feed told nothing: {error}") from error
    if as_json:
        told = {"at": glance.at, "responses": list(glance.responses.values()), **glance.parts}
        print(json.dumps(told))
    else:
        Console(highlight=False).print(_shown(glance, by, rows))


async def watch(url: str, *, token: str | None, by: str, rows: int) -> None:
    """Show what is live until cancelled. Raises CannotConnect if the first connection can't be made."""
    glance, was_there = Glance(), False
    with Live(Text("connecting"), screen=True, refresh_per_second=_REFRESH_A_SECOND) as screen:
        while True:
            try:
                async with connect(_feed_of(url), token=token) as feed:
                    async for message in feed:
                        was_there = True
                        glance.take(message)
                        screen.update(_shown(glance, by, rows))
            except CannotConnect as error:
                if not was_there:
                    raise
                screen.update(Group(Text(str(error), style="red"), _shown(glance, by, rows)))
            except ConnectionLost as error:
                screen.update(Group(Text(f"{error}; again in a second", style="red"), _shown(glance, by, rows)))
            await asyncio.sleep(_AGAIN_S)


def _feed_of(url: str) -> str:
    """Return the feed's address at the gateway of `url`, whichever of its paths that names."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, FEED_PATH, "", ""))


# ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _shown(glance: Glance, by: str, most: int) -> Group:
    rows = sorted(glance.responses.values(), key=ORDERS[by])
    more = [Text(f"and {len(rows) - most} more", style="dim")] if len(rows) > most else []
    fleet = (_workers(glance.parts["workers"]), Text(), _gateways(glance.parts["gateways"], glance.at))
    return Group(_head(glance), Text(), _responses(rows[:most], glance.at), *more, Text(), *fleet)


def _head(glance: Glance) -> Text:
    rows = glance.responses.values()
    running = sum(row["state"] == "running" for row in rows)
    rate = sum(row["tokens_per_s"] for row in rows)
    sockets = sum(gateway["sockets"] for gateway in glance.parts["gateways"])
    words = f"{time.strftime('%H:%M:%S', time.localtime(glance.at))}  {len(rows)} live, {running} running, "
    words += f"{len(rows) - running} queued, {rate:,.0f} tokens/s, {sockets} sockets"
    if glance.closed_ms:
        median = sorted(glance.closed_ms)[len(glance.closed_ms) // 2]
        words += f", stop to closed {median:.1f} ms (median of {len(glance.closed_ms)})"
    return Text(words, style="bold")


def _responses(rows: list[Row], at: float) -> Table:
    table = _table("response", "session", "who", "model", "state", "worker", "age", "tokens", "tokens/s")
    for row in rows:
        state = "stopping" if row["stop"] else row["state"]
        table.add_row(
            f"…{row['id'][-_ID_CHARS:]}",
            row["session"],
            f"{row['tenant']}/{row['subject']}",
            row["model"],
            state,
            (row["worker"] or "")[:_ID_CHARS],
            f"{max(0, at - row['created_at']):.0f} s",
            f"{row['tokens']:,}",
            f"{row['tokens_per_s']:.0f}",
        )
    return table


def _workers(workers: list[Row]) -> Table:
    table = _table("worker", "host", "health", "live", "room", "lease left")
    for each in workers:
        room = max(0, each["concurrency"] - each["live"])
        left = f"{max(0, each['lease_left_s']):.1f} s"
        table.add_row(each["id"], each["host"], each["state"], str(each["live"]), str(room), left)
    return table


def _gateways(gateways: list[Row], at: float) -> Table:
    table = _table("gateway", "host", "health", "sockets", "up for")
    for each in gateways:
        health = "draining" if each["draining"] else "live"
        table.add_row(each["id"], each["host"], health, str(each["sockets"]), f"{max(0, at - each['since']):.0f} s")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table
