"""`Idempotency-Key`: a create that is repeated is done once."""

import asyncio

import httpx2

from tests.http.sse import events
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def _stream(http: httpx2.AsyncClient, body: dict[str, object], key: str) -> list[str]:
    asked = {**body, "stream": True}
    async with http.stream("POST", "/v1/responses", json=asked, headers={"Idempotency-Key": key}) as reply:
        assert reply.status_code == 200
        return [one.data for one in await events(reply)]


async def test_a_repeat_follows_the_same_response_from_its_first_event(http: httpx2.AsyncClient, stack: Stack) -> None:
    """While it is live and after its end, streamed or not: one response, one request at the model server."""
    prompt = Prompt(tokens=60, rate=100)
    key = prompt.key
    first, second = await asyncio.gather(*(_stream(http, prompt.body, key) for _ in range(2)))
    third = await http.post("/v1/responses", json=prompt.body, headers={"Idempotency-Key": key})
    assert first == second
    assert third.json()["id"] in first[0]
    assert third.json()["status"] == "completed"
    assert len((await stack.meter.read(key)).requests) == 1


async def test_a_repeat_finds_it_in_a_named_session_only(http: httpx2.AsyncClient, stack: Stack) -> None:
    """A key belongs to its session: in another one it is another create."""
    prompt = Prompt(tokens=3)
    headers = {"Idempotency-Key": prompt.key}
    ids = [
        (await http.post(f"/v1/responses?session={name}", json=prompt.body, headers=headers)).json()["id"]
        for name in ("one", "one", "two")
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len((await stack.meter.read(prompt.key)).requests) == 2


async def test_the_same_key_with_another_body_is_a_conflict(http: httpx2.AsyncClient) -> None:
    """409 `idempotency_conflict`, which names the header."""
    key = Prompt().key
    headers = {"Idempotency-Key": key}
    assert (await http.post("/v1/responses", json=Prompt(tokens=1).body, headers=headers)).status_code == 200
    refused = await http.post("/v1/responses", json=Prompt(tokens=1).body, headers=headers)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "idempotency_conflict"
    assert refused.json()["error"]["param"] == "Idempotency-Key"


async def test_a_sockets_event_id_is_no_key(http: httpx2.AsyncClient, stack: Stack) -> None:
    """The same word as `event_id` on the socket, in the same session, is another create."""
    prompt = Prompt(tokens=3)
    async with stack.connect(0, session="both") as client:
        response_id = await client.start(prompt.body, event_id="word")
        await client.ending(response_id)
    reply = await http.post("/v1/responses?session=both", json=prompt.body, headers={"Idempotency-Key": "word"})
    assert reply.status_code == 200
    assert reply.json()["id"] != response_id
