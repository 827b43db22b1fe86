"""The live feed: what a console holds is what is live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from andon.ids import ANONYMOUS, Principal, ResponseId, SessionTag
from andon.lease import Leases
from andon.progress import Progress
from gateway.admin.filter import Filter
from gateway.admin.rows import Row
from gateway.admin.sight import Collector, Sight
from gateway.admin.watcher import Watcher
from gateway.auth.permit import Permit
from tests.admin.conftest import OPERATOR_A, SUPER, USER_A, USER_B, Office, word_of
from tests.admin.test_lists import ABOUT, submitted
from tests.contract.jobs import WORKER, claim, settle

_SOON_S = 15.0


class Console:
    """What a console holds: the last snapshot, and all changes since."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, Any] = {}
        self.stops: list[dict[str, Any]] = []

    async def hear(self) -> None:
        """Take in one message."""
        message = msgspec.json.decode(await self.socket.recv())
        self.messages.append(message)
        if message["type"] == "snapshot":
            self.rows = {row["id"]: row for row in message["responses"]}
        for row in message.get("upserts", ()):
            self.rows[row["id"]] = row
        for rid, (tokens, rate) in message.get("tokens", {}).items():
            self.rows[rid].update(tokens=tokens, tokens_per_s=rate)
        for rid in message.get("removals", ()):
            del self.rows[rid]
        self.parts.update({name: message[name] for name in ("workers", "gateways", "broadcasts") if name in message})
        self.stops += message.get("stops", ())

    async def until(self, *ids: str, **members: Any) -> None:
        """Hear until it holds exactly these, each with these members."""
        async with asyncio.timeout(_SOON_S):
            while set(self.rows) != set(ids) or not all(
                row[name] == value for row in self.rows.values() for name, value in members.items()
            ):
                await self.hear()


@asynccontextmanager
async def console(office: Office, principal: Principal, query: str = "") -> AsyncIterator[Console]:
    """Open the feed, and hear the first snapshot."""
    async with connect(office.feed + query, additional_headers=word_of(principal), proxy=None) as socket:
        opened = Console(socket)
        async with asyncio.timeout(_SOON_S):
            await opened.hear()
        assert opened.messages[0]["type"] == "snapshot"
        yield opened


async def test_a_console_follows_a_response_from_its_create_to_its_end(office: Office) -> None:
    """It comes, is claimed, produces tokens, and goes; only tokens change without the whole row."""
    async with console(office, SUPER) as screen:
        await screen.until()
        rid = await submitted(office, USER_A, model="big")
        await screen.until(rid, state="queued", model="big", tenant="a")
        await Leases(office.database, lease_s=30).renew(WORKER, ABOUT)
        job = await claim(office.store, rid)
        await screen.until(rid, state="running", worker=WORKER, host="host-1", generation=1)
        await Progress(office.database).write(WORKER, {rid: (9, 3.0)}, lease_s=30)
        await screen.until(rid, tokens=9)
        assert screen.messages[-1]["tokens"] == {rid: [9, 3.0]}
        assert "upserts" not in screen.messages[-1]
        await settle(office.store, job, 2)
        await screen.until()
        assert [worker["id"] for worker in screen.parts["workers"]] == [WORKER]
        assert len(screen.parts["gateways"]) == 1
        numbers = [message["number"] for message in screen.messages]
        assert numbers == sorted(set(numbers))
        assert [message["type"] for message in screen.messages].count("snapshot") >= 1


async def test_stops_and_broadcasts_are_told_with_their_times(office: Office) -> None:
    """Seconds from the recording, for a chart; the broadcast's progress as it goes."""
    rid = await submitted(office, USER_A)
    async with console(office, SUPER) as screen, office.as_(SUPER) as client:
        asked = await client.post("/v1/admin/stops", json={"scope": {"all": True}, "reason": "fire"})
        async with asyncio.timeout(_SOON_S):
            while not screen.stops or [b["state"] for b in screen.parts["broadcasts"]] != ["done"]:
                await screen.hear()
    (stop,) = screen.stops
    assert (stop["response_id"], stop["tenant"], stop["by"], stop["reason"]) == (rid, "a", "olga", "fire")
    assert 0 <= stop["settled_s"] < _SOON_S
    assert stop["upstream_closed_s"] is None
    assert screen.parts["broadcasts"][0]["id"] == asked.json()["id"]


async def test_an_operator_of_one_tenant_is_shown_that_tenant(office: Office) -> None:
    """Rows, stops and broadcasts of others never reach it."""
    mine, foreign = await submitted(office, USER_A), await submitted(office, USER_B)
    async with console(office, OPERATOR_A) as screen, office.as_(SUPER) as client:
        await screen.until(mine)
        await client.post("/v1/admin/stops", json={"scope": {"all": True}, "wait": True})
        async with asyncio.timeout(_SOON_S):
            while not screen.stops:
                await screen.hear()
        assert [stop["response_id"] for stop in screen.stops] == [mine]
        assert screen.parts["broadcasts"] == []
        assert not any(foreign in str(message) or "bob" in str(message) for message in screen.messages)


async def test_a_filter_holds_for_the_whole_feed(office: Office) -> None:
    """What it does not take is not sent."""
    big = await submitted(office, USER_A, model="big")
    await submitted(office, USER_A, "other", model="small")
    async with console(office, SUPER, "?model=big") as screen:
        await screen.until(big)
        more = await submitted(office, USER_A, "more", model="big")
        await screen.until(big, more)


@pytest.mark.parametrize(("principal", "query", "status"), [(USER_A, "", 403), (SUPER, "?tennant=a", 400)])
async def test_a_bad_handshake_is_refused(office: Office, principal: Principal, query: str, status: int) -> None:
    """With the HTTP status and the error."""
    with pytest.raises(InvalidStatus) as refused:
        async with console(office, principal, query):
            pass
    assert refused.value.response.status_code == status
    assert b'"error"' in (refused.value.response.body or b"")


async def test_nothing_is_collected_while_nobody_watches(office: Office) -> None:
    """The collector runs with its first watcher and rests after its last."""

    async def scans() -> int:
        stats = (await office.database.call("INFO", "commandstats")).decode()
        lines = [line for line in stats.splitlines() if line.startswith("cmdstat_xrevrange:")]
        return int(lines[0].split("calls=")[1].split(",")[0]) if lines else 0

    before = await scans()
    async with console(office, SUPER), console(office, SUPER):
        # The place in the audit is looked up once for both: they share one collector.
        assert await scans() == before + 1
    async with console(office, SUPER):
        pass
    assert await scans() <= before + 2


def _row(number: int, tokens: int = 0) -> Row:
    return Row(
        id=ResponseId(f"resp_{number}"),
        session_tag=SessionTag("t" * 24),
        session="s",
        tenant="a",
        subject="ann",
        model="m",
        state="running",
        worker="w",
        host="h",
        created_at=1.0,
        generation=1,
        stop=None,
        tokens=tokens,
    )


def _sight(number: int, *rows: Row) -> Sight:
    return Sight(number, float(number), {row.id: row for row in rows}, [], [], [], [])


async def test_whoever_missed_a_sight_gets_a_snapshot() -> None:
    """A slow console skips: it is not sent what is out of date, and nothing gathers for it."""
    # Neither the socket nor the collector is used by what is tested.
    watcher = Watcher(cast("WebSocket", None), Permit(ANONYMOUS), Filter(), cast("Collector", None))
    first = watcher.message(_sight(1, _row(1)))
    second = watcher.message(_sight(2, _row(1, 5), _row(2)))
    nothing = watcher.message(_sight(3, _row(1, 5), _row(2)))
    late = watcher.message(_sight(9, _row(2)))
    assert first is not None
    assert second is not None
    assert late is not None
    assert first["type"] == "snapshot"
    assert (second["type"], [row.id for row in second["upserts"]]) == ("changes", ["resp_2"])
    assert second["tokens"] == {"resp_1": (5, 0.0)}
    assert nothing is None
    assert (late["type"], [row.id for row in late["responses"]]) == ("snapshot", ["resp_2"])


async def test_a_round_of_two_thousand_rows_costs_what_the_docs_say(office: Office) -> None:
    """About two commands a row, in pages, and no more for a second watcher."""
    for number in range(2000):
        await submitted(office, USER_A, str(number))
    async with console(office, SUPER) as screen, console(office, SUPER) as second:
        assert len(screen.rows) == len(second.rows) == 2000
        await office.database.call("CONFIG", "RESETSTAT")
        sights = screen.messages[-1]["number"]
        rid = await submitted(office, USER_A, "one more")
        async with asyncio.timeout(_SOON_S):
            while rid not in screen.rows:
                await screen.hear()
        rounds = screen.messages[-1]["number"] - sights
        stats = (await office.database.call("INFO", "commandstats")).decode()
        reads = sum(
            int(line.split("calls=")[1].split(",")[0])
            for line in stats.splitlines()
            if line.startswith(("cmdstat_hmget:", "cmdstat_smembers:", "cmdstat_zscan:"))
        )
        # The sweep of the gateway reads, too, and a collection may be half over at either end.
        assert reads < (rounds + 1) * 4100 + 2 * 6100
