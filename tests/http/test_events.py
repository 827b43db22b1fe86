"""What the body of a stream is: OpenAI's server-sent events, the log's own bytes, and what proxies need."""

import httpx2

from tests.http.sse import events
from tests.stack.prompt import Prompt
from tests.stack.shape import check_frame, check_order
from tests.stack.stack import Stack


async def test_each_event_is_what_the_sdks_types_say(http: httpx2.AsyncClient) -> None:
    """Name and type agree, each event validates strictly, one ending, and no `[DONE]` after it."""
    prompt = Prompt()
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        got = await events(reply)
    for one in got:
        assert one.name == one.event["type"]
        check_frame(one.data, one.event)
    check_order([one.event for one in got])
    assert got[-1].name == "response.completed"


async def test_the_headers_let_it_pass_every_proxy(http: httpx2.AsyncClient) -> None:
    """An event stream, not to be kept and not to be buffered, with the response's id."""
    async with http.stream("POST", "/v1/responses", json={**Prompt().body, "stream": True}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        first = (await events(reply))[0].event
        assert reply.headers["x-andon-response-id"] == first["response"]["id"] == first["response_id"]


async def test_a_replay_has_the_bytes_of_the_stream_and_of_the_socket(http: httpx2.AsyncClient, stack: Stack) -> None:
    """HTTP and WebSocket, live and replayed, on either replica: the same frames."""
    async with http.stream("POST", "/v1/responses?session=same", json={**Prompt().body, "stream": True}) as reply:
        live = [one.data for one in await events(reply)]
        response_id = reply.headers["x-andon-response-id"]
    url = f"{stack.gateways[1].http}/v1/responses/{response_id}?stream=true"
    async with http.stream("GET", url) as reply:
        assert [one.data for one in await events(reply)] == live
    async with stack.connect(1) as client:
        await client.send("response.retrieve", response_id=response_id)
        await client.ending(response_id)
        assert client.frames_of(response_id) == live


async def test_the_head_of_a_stream_ends_at_once(http: httpx2.AsyncClient) -> None:
    """HEAD answers with a stream's headers and does not follow the response, which is still live after it."""
    reply = await http.post("/v1/responses", json={**Prompt(tokens=100_000, rate=20).body, "background": True})
    path = f"/v1/responses/{reply.json()['id']}"
    head = await http.head(path, params={"stream": "true"})
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.headers["x-andon-response-id"] == reply.json()["id"]
    assert (await http.post(f"{path}/cancel")).json()["status"] == "cancelled"


async def test_the_created_event_tells_the_session(http: httpx2.AsyncClient) -> None:
    """By query, by header, or made up."""
    body = {**Prompt(tokens=1).body, "stream": True}
    named: list[tuple[str, dict[bytes, bytes], str]] = [
        ("/v1/responses?session=by-query", {}, "by-query"),
        ("/v1/responses", {b"X-Andon-Session": b"by-header"}, "by-header"),
        ("/v1/responses", {b"X-Andon-Session": "schön".encode()}, "schön"),
    ]
    for url, headers, name in named:
        async with http.stream("POST", url, json=body, headers=headers) as reply:
            assert (await events(reply))[0].event["session"] == name
    async with http.stream("POST", "/v1/responses", json=body) as reply:
        assert (await events(reply))[0].event["session"].startswith("sess_")


async def test_a_failed_response_ends_its_stream_with_response_failed(http: httpx2.AsyncClient) -> None:
    """A failure of the model is an event of the response, not an error of the request."""
    async with http.stream(
        "POST", "/v1/responses", json={**Prompt(model="sim-eof", after=3).body, "stream": True}
    ) as reply:
        assert reply.status_code == 200
        last = (await events(reply))[-1]
    assert last.name == "response.failed"
    assert last.event["response"]["error"]["type"] == "upstream_cut"
