"""Broadcast stops over one gateway and jobs that stand still: what is in scope, what is told, what is refused."""

import asyncio
from typing import Any

import httpx2
import pytest

from andon import keys
from andon.audit import AuditReader, Entry, Outcome, Step
from andon.ids import Principal, ResponseId, WorkerId, tag_of
from andon.response import Status
from tests.admin.conftest import OPERATOR_A, SUPER, USER_A, USER_B, Office
from tests.admin.test_lists import submitted
from tests.contract.jobs import claim, settle
from tests.contract.test_full_store import fill
from tests.stack.waiting import wait_until

_SOON_S = 20.0


async def stop(client: httpx2.AsyncClient, scope: dict[str, Any], **members: Any) -> httpx2.Response:
    """Ask for a broadcast stop."""
    return await client.post("/v1/admin/stops", json={"scope": scope, **members})


async def stopped(office: Office, ids: list[ResponseId]) -> set[str]:
    """Tell which of these are marked or ended by a stop."""
    jobs = [await office.store.job(rid) for rid in ids]
    return {job.response_id for job in jobs if job is not None and job.stop is not None}


async def entries(office: Office) -> list[Entry]:
    """Read the whole audit."""
    read = AuditReader(office.database).entries("-", "+", tenant=None)
    return [entry async for _, entry in read if entry is not None]


class Crowd:
    """Four responses: two of a's ann (one in another model), one of a's other subject, one of b's bob."""

    def __init__(self, ids: list[ResponseId]) -> None:
        self.tale, self.song, self.other, self.foreign = self.all = ids


@pytest.fixture
async def crowd(office: Office) -> Crowd:
    return Crowd(
        [
            await submitted(office, USER_A, "tale", model="big"),
            await submitted(office, USER_A, "song"),
            await submitted(office, Principal("a", "abe"), "tale"),
            await submitted(office, USER_B, "tale", model="big"),
        ]
    )


SCOPES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("response", {"response_id": "{tale}"}, ("tale",)),
    ("tag", {"session": "{tag}"}, ("tale",)),
    ("name", {"tenant": "a", "subject": "ann", "session": "song"}, ("song",)),
    ("subject", {"subject": "ann"}, ("tale", "song")),
    ("subject of a tenant", {"subject": "bob", "tenant": "b"}, ("foreign",)),
    ("subject of another tenant", {"subject": "bob", "tenant": "a"}, ()),
    ("tenant", {"tenant": "a"}, ("tale", "song", "other")),
    ("model", {"model": "big"}, ("tale", "foreign")),
    ("model of a tenant", {"model": "big", "tenant": "a"}, ("tale",)),
    ("all", {"all": True}, ("tale", "song", "other", "foreign")),
    ("unknown", {"tenant": "a", "subject": "nobody", "session": "tale"}, ()),
    ("unknown response", {"response_id": "resp_nothing"}, ()),
]
THEIRS = {"tale", "song", "other"}


def filled(scope: dict[str, Any], crowd: Crowd) -> dict[str, Any]:
    """Put the ids into a scope."""
    words = {"{tale}": crowd.tale, "{tag}": tag_of(crowd.tale)}
    return {name: words.get(str(value), value) for name, value in scope.items()}


@pytest.mark.parametrize("operator", [SUPER, OPERATOR_A], ids=["all tenants", "tenant a"])
@pytest.mark.parametrize(("scope", "reached"), [case[1:] for case in SCOPES], ids=[case[0] for case in SCOPES])
async def test_a_scope_stops_what_is_in_it_and_nothing_else(
    office: Office, crowd: Crowd, operator: Principal, scope: dict[str, Any], reached: tuple[str, ...]
) -> None:
    """For an operator of one tenant it reaches that tenant only; a dry run counts the same and stops nothing."""
    wanted = set(reached) & (THEIRS if operator is OPERATOR_A else {*THEIRS, "foreign"})
    expected = {getattr(crowd, name) for name in wanted}
    async with office.as_(operator) as client:
        dry = await stop(client, filled(scope, crowd), dry_run=True)
        assert (dry.status_code, dry.json()["matched"]) == (200, len(expected))
        assert await stopped(office, crowd.all) == set()
        answer = await stop(client, filled(scope, crowd), reason="enough", wait=True)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["state"], told["reason"]) == ("done", "enough")
    assert await stopped(office, crowd.all) == expected
    count = len(expected)
    progress = told["progress"]
    assert {name: progress[name] for name in ("matched", "recorded", "settled", "already_ended", "failed")} == {
        "matched": count, "recorded": count, "settled": count, "already_ended": 0, "failed": 0,
    }  # fmt: skip


async def test_what_is_created_after_the_ask_is_not_stopped(office: Office, crowd: Crowd) -> None:
    """The broadcast is of what was there; while one of them holds it up, a new one goes on."""
    holding = await claim(office.store, crowd.tale, WorkerId("w_slow"))
    async with office.as_(SUPER) as client:
        asked = await stop(client, {"tenant": "a"})
        assert asked.status_code == 202
        told = asked.json()
        assert told["state"] == "running"
        later = await submitted(office, USER_A, "later")

        async def is_held_up() -> bool:
            progress = (await client.get(f"/v1/admin/stops/{told['id']}")).json()["progress"]
            return bool(progress["recorded"] == 3 and progress["settled"] == 2)

        await wait_until(is_held_up, timeout_s=_SOON_S)
        # Long enough for further walks.
        view = await office.store.job(crowd.tale)
        assert view is not None
        await settle(office.store, holding, 2, status=Status.CANCELLED, stop=view.stop)
        ended = await _ended(client, told["id"])
    assert ended["progress"]["matched"] == 3
    assert ended["progress"]["upstream_closed"] == 1
    assert await stopped(office, [later]) == set()


async def _ended(client: httpx2.AsyncClient, broadcast_id: str) -> dict[str, Any]:
    told: dict[str, Any] = {}

    async def is_over() -> bool:
        told.update((await client.get(f"/v1/admin/stops/{broadcast_id}")).json())
        return bool(told["state"] != "running")

    await wait_until(is_over, timeout_s=_SOON_S)
    return told


async def test_those_that_wait_for_a_lane_are_stopped_before_its_holder(office: Office) -> None:
    """So no model is asked for what will be stopped at once: none of them ever gets its turn."""
    ids = [await submitted(office, USER_A, lane="k/a") for _ in range(12)]
    async with office.as_(SUPER) as client:
        assert (await stop(client, {"all": True}, wait=True)).json()["progress"]["settled"] == 12
    events = await office.database.call("XLEN", keys.QUEUE)
    assert events == 12  # one entry a submit, and none that a promotion wrote
    assert await stopped(office, ids) == set(ids)


async def test_one_that_ends_by_itself_is_told_as_already_ended(office: Office, crowd: Crowd) -> None:
    """It counts as matched, and not as recorded; its ending stands."""
    job = await claim(office.store, crowd.tale, WorkerId("w_fast"))
    async with office.as_(SUPER) as client:
        records = keys.RUNNING_BROADCASTS
        asked = asyncio.ensure_future(stop(client, {"response_id": crowd.tale}))
        await settle(office.store, job, 2)
        ended = await _ended(client, (await asked).json()["id"])
    progress = ended["progress"]
    view = await office.store.job(crowd.tale)
    assert view is not None
    # Either order is right, and told truthfully.
    assert progress["recorded"] == (view.stop is not None)
    assert await office.database.call("SMEMBERS", records) == []


async def test_the_same_key_is_the_same_stop(office: Office, crowd: Crowd) -> None:
    """A repeated ask follows the first; with another scope it is a conflict."""
    headers = {"Idempotency-Key": "k"}
    async with office.as_(SUPER) as client:
        body = {"scope": {"response_id": crowd.tale}, "wait": True}
        first = await client.post("/v1/admin/stops", json=body, headers=headers)
        again = await client.post("/v1/admin/stops", json=body, headers=headers)
        other = await client.post("/v1/admin/stops", json={"scope": {"all": True}}, headers=headers)
        assert again.json() == first.json()
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    async with office.as_(OPERATOR_A) as client:
        theirs = await client.post("/v1/admin/stops", json={"scope": {"model": "none"}}, headers=headers)
        assert theirs.json()["id"] != first.json()["id"]
    assert await stopped(office, crowd.all) == {crowd.tale}


async def test_an_operator_of_one_tenant_sees_the_stops_bound_to_it(office: Office, crowd: Crowd) -> None:
    """Those of whoever administers all tenants are not its to see."""
    async with office.as_(SUPER) as client:
        theirs = (await stop(client, {"all": True}, wait=True)).json()["id"]
    async with office.as_(OPERATOR_A) as client:
        ours = (await stop(client, {"all": True}, wait=True)).json()["id"]
        assert (await client.get(f"/v1/admin/stops/{theirs}")).status_code == 404
        assert [row["id"] for row in (await client.get("/v1/admin/stops")).json()["data"]] == [ours]
    assert await stopped(office, crowd.all) == set(crowd.all)


async def test_progress_can_be_streamed(office: Office, crowd: Crowd) -> None:
    """As server-sent events, to the end."""
    del crowd
    async with office.as_(SUPER) as client:
        answer = await stop(client, {"all": True}, stream=True)
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "stop.ended"
    assert set(events[:-1]) <= {"stop.progress"}


async def test_a_full_redis_does_not_keep_a_broadcast_from_running(office: Office, crowd: Crowd) -> None:
    """It frees what fills it."""
    try:
        await fill(office.database)
        async with office.as_(SUPER) as client:
            assert (await stop(client, {"all": True}, wait=True)).json()["progress"]["settled"] == 4
    finally:
        await office.database.call("CONFIG", "SET", "maxmemory", 0)
    assert await stopped(office, crowd.all) == set(crowd.all)


async def test_whoever_is_no_operator_stops_nothing_and_is_audited(office: Office, crowd: Crowd) -> None:
    """403, and an entry that says who tried."""
    async with office.as_(USER_A) as client:
        answer = await stop(client, {"all": True})
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")

    async def is_told() -> bool:
        return Outcome.FORBIDDEN in {entry.outcome for entry in await entries(office)}

    await wait_until(is_told)
    assert await stopped(office, crowd.all) == set()


async def test_a_broadcast_is_one_ask_an_outcome_each_and_its_end(office: Office, crowd: Crowd) -> None:
    """All under the broadcast's id, each outcome with the tenant of its response."""
    async with office.as_(SUPER) as client:
        told = (await stop(client, {"all": True}, reason="fire", wait=True)).json()

        async def are_told() -> bool:
            return len(await entries(office)) >= 6

        await wait_until(are_told)
    asked, *others = await entries(office)
    assert (asked.id, asked.step, asked.scope, asked.reason) == (told["id"], Step.ASKED, {"all": True}, "fire")
    assert {entry.id for entry in others} == {told["id"]}
    assert {(entry.tenant, entry.response_id) for entry in others if entry.response_id} == {
        ("a", crowd.tale), ("a", crowd.song), ("a", crowd.other), ("b", crowd.foreign),
    }  # fmt: skip
    (end,) = [entry for entry in others if entry.progress is not None]
    assert (end.outcome, end.progress) == (Outcome.DONE, told["progress"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": {}},
        {"scope": []},
        {"scope": {"all": False}},
        {"scope": {"all": 1}},
        {"scope": {"all": True, "tenant": "a"}},
        {"scope": {"response_id": "resp_1", "tenant": "a"}},
        {"scope": {"session": "tale"}},
        {"scope": {"tennant": "a"}},
        {"scope": {"tenant": ""}},
        {"scope": {"tenant": 5}},
        {"scope": {"all": True}, "dryrun": True},
        {"scope": {"all": True}, "dry_run": "yes"},
        {"scope": {"all": True}, "reason": 5},
    ],
)
async def test_a_bad_ask_stops_nothing(office: Office, crowd: Crowd, body: dict[str, Any]) -> None:
    """A misspelt bound must not stop everything."""
    async with office.as_(SUPER) as client:
        answer = await client.post("/v1/admin/stops", json=body)
    assert answer.status_code == 400, answer.text
    assert await stopped(office, crowd.all) == set()
    assert await office.database.call("EXISTS", keys.BROADCASTS) == 0
