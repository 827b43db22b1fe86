"""A session over HTTP: what is live in it, and its stop."""

import asyncio

import httpx2

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def test_the_live_responses_of_a_session_are_listed_oldest_first(http: httpx2.AsyncClient) -> None:
    """Those of the session and no other, until they end; an unknown session has none."""
    prompts = [Prompt(tokens=2000, rate=100) for _ in range(3)]
    ids = []
    for name, prompt in zip(("listed", "listed", "other"), prompts, strict=True):
        body = {**prompt.body, "background": True}
        ids.append((await http.post(f"/v1/responses?session={name}", json=body)).json()["id"])
    listed = (await http.get("/v1/responses?session=listed")).json()
    assert [row["id"] for row in listed["data"]] == ids[:2]
    for row in listed["data"]:
        assert row["status"] in {"queued", "in_progress"}
        assert row["model"] == "sim"
        assert row["created_at"] > 0
    for name in ("listed", "other"):
        await http.post(f"/v1/sessions/{name}/stop")
        assert (await http.get(f"/v1/responses?session={name}")).json()["data"] == []


async def test_the_stop_of_a_session_stops_all_of_it_and_says_how_far_it_got(
    http: httpx2.AsyncClient, stack: Stack
) -> None:
    """Created over HTTP and on a socket, stopped together: recorded, acked, closed, settled, with the reason."""
    over_http, on_socket, elsewhere = (Prompt(tokens=2000, rate=100) for _ in range(3))
    async with stack.connect(1, session="a/b c") as client:
        second = await client.start(on_socket.body)
        await client.text_begun(second)
        asked = {**over_http.body, "background": True}
        first = (await http.post("/v1/responses", params={"session": "a/b c"}, json=asked)).json()["id"]
        third = (await http.post("/v1/responses", json={**elsewhere.body, "background": True})).json()["id"]
        for prompt in (over_http, elsewhere):
            await stack.meter.opened(prompt.key)
        stopped = await http.post("/v1/sessions/a%2Fb%20c/stop", json={"reason": "enough"})
        assert stopped.status_code == 200
        stops = {stop["response_id"]: stop for stop in stopped.json()["stops"]}
        assert stops.keys() == {first, second}
        for stop in stops.values():
            assert stop["recorded"] <= stop["acked"] <= stop["upstream_closed"] <= stop["settled"]
        assert (await client.ending(second))["response"]["stop"]["reason"] == "enough"
        assert await client.closed() == (1000, "stopped")
    assert (await http.get(f"/v1/responses/{third}")).json()["status"] == "in_progress"
    assert (await http.post(f"/v1/responses/{third}/cancel")).json()["status"] == "cancelled"


async def test_a_session_with_nothing_live_has_nothing_to_stop(http: httpx2.AsyncClient) -> None:
    """200 and no stops: also for a session that never was."""
    reply = await http.post("/v1/sessions/never-was/stop")
    assert (reply.status_code, reply.json()) == (200, {"stops": []})


async def test_a_response_of_a_sockets_lane_is_stopped_and_read_over_http(
    http: httpx2.AsyncClient, stack: Stack
) -> None:
    """One contract behind both doors; a response that waits for its lane is `queued`."""
    first, second = Prompt(tokens=2000, rate=100), Prompt(tokens=3)
    async with stack.connect(1, session="lanes", on_stop="keep") as client:
        running = await client.start(first.body)
        await client.create(second.body)
        (waiting,) = [row for row in await _rows(http, "lanes", count=2) if row["id"] != running]
        assert waiting["status"] == "queued"
        assert (await http.get(f"/v1/responses/{waiting['id']}")).json()["output"] == []
        stopped = (await http.post(f"/v1/responses/{running}/cancel", json={"reason": "http"})).json()
        assert stopped["stop"]["reason"] == "http"
        assert (await client.ending(running))["response"] == stopped
        assert (await client.ending(waiting["id"]))["response"]["status"] == "completed"


async def _rows(http: httpx2.AsyncClient, session: str, *, count: int) -> list[dict[str, str]]:
    """List until there are so many; a create on a socket has no answer while it waits for its lane."""
    rows: list[dict[str, str]] = []
    async with asyncio.timeout(10.0):
        while len(rows) < count:
            rows = (await http.get("/v1/responses", params={"session": session})).json()["data"]
    return rows
