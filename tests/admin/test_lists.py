"""Lists: what is live, filtered, paged, and bound to what an operator may see."""

from typing import Any

import httpx2
import msgspec
import pytest

from andon.ids import Principal, ResponseId, SessionName, WorkerId, new_response_id, session_tag, tag_of
from andon.lease import About, Leases
from andon.progress import Progress
from andon.response import open_object
from tests.admin.conftest import OPERATOR_A, SUPER, USER_A, USER_B, Office
from tests.contract.jobs import WORKER, claim, settle, submission

ABOUT = About(host="host-1", pid=7, live=1, concurrency=4, draining=False)


async def submitted(
    office: Office, principal: Principal, session: str = "s", *, model: str = "sim", lane: str = ""
) -> ResponseId:
    """Submit a job of this principal."""
    made = submission(session=session, principal=principal, lane=lane)
    record = {
        "response_id": made.response_id, "session": session, "tenant": principal.tenant,
        "subject": principal.subject, "model": model,
    }  # fmt: skip
    await office.store.submit(msgspec.structs.replace(made, record=open_object(record)))
    return made.response_id


async def listed(client: httpx2.AsyncClient, what: str = "responses", **query: Any) -> list[dict[str, Any]]:
    """Ask for one page."""
    answer = await client.get(f"/v1/admin/{what}", params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def ids(client: httpx2.AsyncClient, **query: Any) -> set[str]:
    """Ask for the ids of one page."""
    return {row["id"] for row in await listed(client, **query)}


async def test_a_row_tells_what_a_console_needs_and_nothing_that_was_said(office: Office) -> None:
    """Who, where, since when, how far; no input, no metadata."""
    rid = await submitted(office, USER_A, "tale", model="big")
    leases = Leases(office.database, lease_s=30)
    await leases.renew(WORKER, ABOUT)
    await claim(office.store, rid)
    await Progress(office.database).write(WORKER, {rid: (42, 12.5)}, lease_s=30)
    async with office.as_(SUPER) as client:
        answer = await client.get("/v1/admin/responses")
    (row,) = answer.json()["data"]
    assert row.pop("age_s") >= 0
    assert row.pop("created_at") > 0
    assert row == {
        "id": rid, "session_tag": tag_of(rid), "session": "tale", "tenant": "a", "subject": "ann", "model": "big",
        "state": "running", "worker": WORKER, "host": "host-1", "generation": 1, "stop": None,
        "tokens": 42, "tokens_per_s": 12.5,
    }  # fmt: skip
    assert "hello" not in answer.text


async def test_each_filter_takes_what_it_names(office: Office) -> None:
    """Tenant, subject, session by name or tag, model, worker, state, age, and words anywhere."""
    mine = await submitted(office, USER_A, "tale", model="big")
    other = await submitted(office, USER_A, "song", model="small")
    foreign = await submitted(office, USER_B, "tale", model="small")
    await Leases(office.database, lease_s=30).renew(WORKER, ABOUT)
    await claim(office.store, other)
    async with office.as_(SUPER) as client:
        assert await ids(client) == {mine, other, foreign}
        assert await ids(client, tenant="a") == {mine, other}
        assert await ids(client, subject="bob") == {foreign}
        assert await ids(client, session="tale") == {mine, foreign}
        assert await ids(client, session=tag_of(mine)) == {mine}
        assert await ids(client, tenant="a", subject="ann", session="tale") == {mine}
        assert await ids(client, model="small") == {other, foreign}
        assert await ids(client, worker=WORKER) == {other}
        assert await ids(client, state="queued") == {mine, foreign}
        assert await ids(client, min_age_s=3600) == set()
        assert await ids(client, min_age_s=0) == {mine, other, foreign}
        assert await ids(client, q="BOB") == {foreign}
        assert await ids(client, q=other[-8:]) == {other}
        assert await ids(client, q="host-1") == {other}
        assert await ids(client, tenant="nobody") == set()


async def test_an_operator_of_one_tenant_sees_that_tenant_whatever_it_asks_for(office: Office) -> None:
    """Rows of another tenant are not there, by any filter, in no list."""
    mine, foreign = await submitted(office, USER_A), await submitted(office, USER_B)
    async with office.as_(OPERATOR_A) as client:
        assert await ids(client) == {mine}
        assert await ids(client, tenant="b") == set()
        assert await ids(client, session=tag_of(foreign)) == set()
        assert await ids(client, tenant="b", subject="bob", session="s") == set()
        assert await ids(client, q="bob") == set()
        assert [row["tenant"] for row in await listed(client, "sessions")] == ["a"]


@pytest.mark.parametrize("path", ["responses", "sessions", "workers", "gateways", "stops", "stops/bc_1", "audit"])
async def test_whoever_is_no_operator_is_refused(office: Office, path: str) -> None:
    """403 for each of them, in OpenAI's shape; nothing is told."""
    await submitted(office, USER_A)
    async with office.as_(USER_A) as client:
        answer = await client.get(f"/v1/admin/{path}")
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_pages_hold_each_row_once_in_order(office: Office, order: str) -> None:
    """Also when rows end between two pages."""
    made = [await submitted(office, USER_A, str(number)) for number in range(7)]
    expected = made if order == "oldest" else made[::-1]
    found: list[str] = []
    async with office.as_(SUPER) as client:
        query: dict[str, Any] = {"limit": 3, "order": order}
        while True:
            answer = (await client.get("/v1/admin/responses", params=query)).json()
            found += [row["id"] for row in answer["data"]]
            if len(found) == 3:
                await settle(office.store, await claim(office.store, expected[0]), 2)
            if not answer["has_more"]:
                break
            query["cursor"] = answer["next"]
    assert found == expected


async def test_sessions_are_told_with_what_is_live_in_them(office: Office) -> None:
    """One row a session; ended sessions are not in it."""
    first = await submitted(office, USER_A, "tale", lane="k/a")
    await submitted(office, USER_A, "tale", lane="k/a")
    ended = await submitted(office, USER_A, "over")
    await settle(office.store, await claim(office.store, ended), 2)
    async with office.as_(SUPER) as client:
        (row,) = await listed(client, "sessions")
    assert (row["session"], row["session_tag"], row["live"]) == ("tale", tag_of(first), 2)
    assert row["states"] == {"queued": 1, "waiting": 1}
    assert row["stopping"] == 0


async def test_workers_and_gateways_are_told_with_their_health(office: Office) -> None:
    """A dead worker is told as dead; this gateway is there by itself."""
    leases = Leases(office.database, lease_s=30)
    await leases.renew(WORKER, ABOUT)
    gone = WorkerId("w_gone")
    await leases.renew(gone, ABOUT)
    await leases.bury(gone, by_itself=True)
    async with office.as_(OPERATOR_A) as client:
        workers = {row["id"]: row for row in await listed(client, "workers")}
        (gateway,) = await listed(client, "gateways")
    assert workers[WORKER]["state"] == "live"
    assert workers[WORKER]["host"] == "host-1"
    assert workers.get(gone, {"state": "dead"})["state"] == "dead"
    assert gateway["draining"] is False
    assert gateway["id"].startswith("g_")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"tennant": "a"}, "tennant"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "\u0661"}, "limit"),
        ({"cursor": "%%%"}, "cursor"),
        ({"cursor": "e30"}, "cursor"),
        ({"min_age_s": "nan"}, "min_age_s"),
        ({"min_age_s": "-1"}, "min_age_s"),
        ({"state": "asleep"}, "state"),
        ({"order": "up"}, "order"),
        ({"q": "x" * 600}, "q"),
    ],
)
async def test_a_bad_query_is_refused_by_name(office: Office, query: dict[str, str], param: str) -> None:
    """A filter that were ignored would show too much."""
    async with office.as_(SUPER) as client:
        answer = await client.get("/v1/admin/responses", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_what_redis_lost_is_in_no_list(office: Office) -> None:
    """The index is a superset; a job that is gone is not shown."""
    rid = await submitted(office, USER_A)
    await office.database.call("DEL", f"andon:{{{tag_of(rid)}}}:job:{rid}")
    ghost = new_response_id(session_tag(USER_A, SessionName("ghost")))
    await office.database.call("ZADD", "andon:sessions", 1, tag_of(ghost))
    async with office.as_(SUPER) as client:
        assert await ids(client) == set()
