"""The audit over HTTP: read, paged, exported, and bound to the operator's tenant."""

from typing import Any

import httpx2
import msgspec
import pytest

from andon.ids import ResponseId
from tests.admin.conftest import OPERATOR_A, SUPER, USER_A, USER_B, Office
from tests.admin.test_lists import submitted
from tests.stack.waiting import wait_until


async def read(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Read one page."""
    answer = await client.get("/v1/admin/audit", params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


@pytest.fixture
async def stops(office: Office) -> tuple[ResponseId, ResponseId]:
    """Have ann and bob stop what is theirs, and bob try what is ann's."""
    anns, bobs = await submitted(office, USER_A), await submitted(office, USER_B)
    async with office.as_(USER_B) as bob, office.as_(USER_A) as ann:
        assert (await bob.post(f"/v1/responses/{anns}/cancel", json={})).status_code == 404
        answer = await ann.post(
            f"/v1/responses/{anns}/cancel", json={"reason": "enough"}, headers={"User-Agent": "x" * 500}
        )
        assert answer.status_code == 200
        assert (await bob.post(f"/v1/responses/{bobs}/cancel")).status_code == 200
    async with office.as_(SUPER) as client:

        async def are_told() -> bool:
            return len(await read(client)) == 6

        await wait_until(are_told)
    return anns, bobs


async def test_an_entry_says_who_from_where_what_why_and_how_far(
    office: Office, stops: tuple[ResponseId, ResponseId]
) -> None:
    """Two halves of one id; the user agent is shortened."""
    async with office.as_(SUPER) as client:
        asked, told = await read(client, tenant="a")
    assert asked["asker"]["principal"] == {"tenant": "a", "subject": "ann", "scopes": []}
    assert (asked["asker"]["role"], asked["asker"]["door"]) == ("owner", "http")
    assert asked["asker"]["address"] == "127.0.0.1"
    assert asked["asker"]["agent"] == "x" * 80
    assert asked["process"].startswith("g_")
    assert (asked["step"], asked["response_ids"], asked["reason"]) == ("asked", [stops[0]], "enough")
    assert (told["step"], told["id"], told["outcome"], told["status"]) == (
        "outcome",
        asked["id"],
        "stopped",
        "cancelled",
    )
    assert told["recorded"] <= told["settled"]


async def test_an_operator_at_the_ordinary_door_is_told_as_one(office: Office) -> None:
    """Whose response it was is known once it is stopped: the outcome says as what, and whom it concerned."""
    anns, bobs = await submitted(office, USER_A), await submitted(office, USER_B)
    async with office.as_(SUPER) as olga:
        for response_id in (anns, bobs):
            assert (await olga.post(f"/v1/responses/{response_id}/cancel")).status_code == 200

        async def are_told() -> bool:
            return len(await read(olga, step="outcome")) == 2

        await wait_until(are_told)
        told = {entry["response_id"]: entry for entry in await read(olga, step="outcome")}
    assert {entry["asker"]["role"] for entry in told.values()} == {"operator"}
    assert (told[anns]["tenant"], told[bobs]["tenant"]) == ("a", "b")
    async with office.as_(OPERATOR_A) as arno:
        assert [entry["response_id"] for entry in await read(arno)] == [anns]


async def test_filters_and_pages(office: Office, stops: tuple[ResponseId, ResponseId]) -> None:
    """By response, tenant, half, outcome and time; pages go on where the one before ended."""
    anns, bobs = stops
    async with office.as_(SUPER) as client:
        everything = await read(client)
        assert len(await read(client, response_id=bobs)) == 2
        assert {entry["tenant"] for entry in await read(client, response_id=anns)} == {"a", "b"}
        assert [entry["outcome"] for entry in await read(client, outcome="foreign")] == ["foreign"]
        assert len(await read(client, step="asked", door="http")) == 3
        assert await read(client, after=everything[-1]["at"] + 60) == []
        assert len(await read(client, before=everything[-1]["at"] + 60)) == 6
        found, after = [], "0"
        for _ in range(3):
            answer = (await client.get("/v1/admin/audit", params={"limit": 2, "after": after})).json()
            found += answer["data"]
            after = answer["next"]
        assert found == everything
        assert after is None


async def test_the_export_is_one_entry_a_line(office: Office, stops: tuple[ResponseId, ResponseId]) -> None:
    """By format or by Accept; the same entries."""
    del stops
    async with office.as_(SUPER) as client:
        by_format = await client.get("/v1/admin/audit", params={"format": "jsonl"})
        by_accept = await client.get("/v1/admin/audit", headers={"Accept": "application/jsonl"})
        page = await read(client)
    assert by_format.headers["content-type"].startswith("application/jsonl")
    assert by_format.text == by_accept.text
    lines = [msgspec.json.decode(line) for line in by_format.text.splitlines()]
    assert [line["id"] for line in lines] == [entry["id"] for entry in page]


async def test_an_operator_of_one_tenant_reads_that_tenants(
    office: Office, stops: tuple[ResponseId, ResponseId]
) -> None:
    """Neither bob's entries, nor that bob's try met something of a's; and where it met, `foreign` is not said."""
    del stops
    async with office.as_(OPERATOR_A) as client:
        assert {entry["tenant"] for entry in await read(client)} == {"a"}
        assert await read(client, tenant="b") == []
        export = await client.get("/v1/admin/audit", params={"format": "jsonl"})
    assert '"bob"' not in export.text


@pytest.mark.parametrize(
    "query",
    [{"after": "yesterday"}, {"after": "1-x"}, {"before": "-5"}, {"limit": "0"}, {"format": "xml"}, {"tennant": "a"},
     {"step": "thought"}, {"after": "1e400"}],
)  # fmt: skip
async def test_a_bad_query_is_refused(office: Office, query: dict[str, str]) -> None:
    """By name."""
    async with office.as_(SUPER) as client:
        assert (await client.get("/v1/admin/audit", params=query)).status_code == 400
