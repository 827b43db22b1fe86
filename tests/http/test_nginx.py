"""Server-sent events through a real nginx, as one finds it: `proxy_pass` and nothing else, so its buffering is on.

Promptness is a matter of order here. The model says one word and falls silent: a buffer that waits for more would wait
for ever. And a stop is seen at the model server while that model still has nothing more to say.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.delivery.nginx import proxy
from tests.http.sse import sent, text_begun
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(300)  # it may have to install nginx

# What it speaks to a gateway: its default is 1.0 up to nginx 1.29, with a connection a request; then 1.1, kept.
_LOCATIONS = {
    "as it is": "",
    "HTTP/1.0": "proxy_http_version 1.0;",
    "HTTP/1.1, kept": 'proxy_http_version 1.1; proxy_set_header Connection "";',
}


@pytest.fixture(params=list(_LOCATIONS.values()), ids=list(_LOCATIONS))
async def http(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a plain client of nginx, in front of both replicas."""
    ports = [gateway.port for gateway in stack.gateways]
    async with (
        proxy(ports, tmp_path, request.param) as authority,
        httpx2.AsyncClient(base_url=f"http://{authority}", verify=False, trust_env=False, timeout=20.0) as client,
    ):
        yield client


def _one_word() -> Prompt:
    """Ask for one token, and then silence until the connection is closed."""
    return Prompt(model="sim-stall", tokens=100, after=1)


def _chat(prompt: Prompt) -> dict[str, Any]:
    body = prompt.body
    messages = [{"role": "user", "content": body.pop("input")}]
    return {**body, "messages": messages, "stream": True}


async def test_a_word_is_passed_on_while_the_model_is_still_at_it(http: httpx2.AsyncClient, stack: Stack) -> None:
    """The first delta is with the client though nothing follows it; closing the connection then stops the model."""
    prompt = _one_word()
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        response_id = reply.headers["x-andon-response-id"]
        events = sent(reply)  # an iterator that nobody holds closes the connection
        (*_, delta) = await text_begun(events, deltas=1)
        assert delta["delta"] == prompt.text(1)
        assert (await stack.meter.read(prompt.key)).open == 1
    assert (await stack.meter.ended(prompt.key)).client_closed
    stopped = (await http.post(f"/v1/responses/{response_id}/cancel")).json()
    assert stopped["status"] == "cancelled"
    assert stopped["stop"]["reason"] == "disconnected"


async def test_a_stop_from_elsewhere_ends_the_body(http: httpx2.AsyncClient, stack: Stack) -> None:
    """Cancelled by another request, the stream has its ending at once, and ends."""
    prompt = _one_word()
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        events = sent(reply)
        await text_begun(events, deltas=1)
        cancelled = (await http.post(f"/v1/responses/{reply.headers['x-andon-response-id']}/cancel")).json()
        (*_, ending) = [one.event async for one in events if one.name]
    assert ending["type"] == "response.incomplete"
    assert ending["response"] == cancelled
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_chat_completions_pass_as_promptly(http: httpx2.AsyncClient, stack: Stack) -> None:
    """The same door for tools that only know Chat Completions: the first word comes, and leaving is the stop."""
    prompt = _one_word()
    async with http.stream("POST", "/v1/chat/completions", json=_chat(prompt)) as reply:
        assert reply.status_code == 200
        lines = reply.aiter_lines()  # an iterator that nobody holds closes the connection
        async for line in lines:
            if prompt.text(1) in line:
                break
        else:
            raise AssertionError("the body ended without the word")
        assert (await stack.meter.read(prompt.key)).open == 1
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_leaving_a_plain_create_stops_it(http: httpx2.AsyncClient, stack: Stack) -> None:
    """Nothing has been answered yet: nginx passes on that its client is gone."""
    prompt = _one_word()
    with pytest.raises(httpx2.ReadTimeout):
        await http.post("/v1/responses", json=prompt.body, timeout=httpx2.Timeout(20.0, read=2.0))
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_a_long_answer_passes_whole(http: httpx2.AsyncClient) -> None:
    """What is not held back is not lost either: every event, through nginx's buffers, in order."""
    prompt = Prompt(tokens=2000, rate=0)
    async with http.stream("POST", "/v1/responses", json={**prompt.body, "stream": True}) as reply:
        events = [one.event async for one in sent(reply) if one.name]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == prompt.text()
