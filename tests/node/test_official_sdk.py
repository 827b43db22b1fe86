"""npm's newest `openai`, unchanged, on a Node of its own, against two replicas: HTTP, SSE and WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.node.node import Node, Script
from tests.stack.prompt import Prompt
from tests.stack.shape import check_frame
from tests.stack.stack import Stack

# A Node and the SDK's modules take seconds to load where the machine is loaded.
pytestmark = pytest.mark.timeout(120)

_SDK = Path(__file__).with_name("sdk.mjs")


def _long() -> Prompt:
    """Ask for what takes 20 s: whoever sees it end sooner has stopped it."""
    return Prompt(tokens=2000, rate=100)


@asynccontextmanager
async def _run(node: Node, stack: Stack, scenario: str, prompt: Prompt) -> AsyncIterator[Script]:
    bases = [f"{gateway.http}/v1" for gateway in stack.gateways[:2]]
    async with node.run(_SDK, scenario, *bases, msgspec.json.encode(prompt.body).decode()) as script:
        yield script
        await script.ended()


async def _ended(stack: Stack, response_id: str) -> dict[str, Any]:
    """Wait on the other replica until the response has ended, and return it."""
    async with httpx2.AsyncClient(base_url=stack.gateways[1].http, verify=False, trust_env=False) as http:
        reply = await http.get(f"/v1/responses/{response_id}", params={"stream": "true"}, timeout=30)
        assert "data: " in reply.text
        response: dict[str, Any] = (await http.get(f"/v1/responses/{response_id}")).json()
        return response


def _text(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def _check(events: list[dict[str, Any]], prompt: Prompt) -> None:
    """Assert one whole response: numbered without gap, the Python SDK's types as well, the text as the model said."""
    for event in events:
        check_frame(msgspec.json.encode(event).decode(), event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    assert _text(events) == prompt.text()


async def test_a_plain_create_waits_and_is_retrieved_on_the_other_replica(node: Node, stack: Stack) -> None:
    """`responses.create`, its `output_text`, and `retrieve` elsewhere: the same response."""
    prompt = Prompt()
    async with _run(node, stack, "create", prompt) as script:
        created = await script.next("response")
        retrieved = await script.next("retrieved")
    assert created["text"] == prompt.text()
    assert created["response"]["usage"]["output_tokens"] == prompt.tokens
    assert retrieved["response"] == created["response"]


async def test_a_streamed_create_is_iterated(node: Node, stack: Stack) -> None:
    """`create({stream: true})`: every event, in order, to the end."""
    prompt = Prompt()
    async with _run(node, stack, "stream", prompt) as script:
        _check((await script.next("events"))["events"], prompt)


async def test_its_stream_helper_accumulates_the_final_response(node: Node, stack: Stack) -> None:
    """`responses.stream(...).finalResponse()` holds the text."""
    prompt = Prompt()
    async with _run(node, stack, "helper", prompt) as script:
        assert (await script.next("response"))["text"] == prompt.text()


@pytest.mark.parametrize(("scenario", "kind"), [("abort", "aborted"), ("leave", "left")])
async def test_an_abort_of_the_stream_is_the_stop(node: Node, stack: Stack, scenario: str, kind: str) -> None:
    """An AbortController's abort, or a `break`: the upstream is closed, the response cancelled as disconnected."""
    prompt = _long()
    async with _run(node, stack, scenario, prompt) as script:
        response_id = (await script.next(kind))["id"]
        record = await stack.meter.ended(prompt.key)
        await script.say(go_on=True)
    assert record.client_closed
    response = await _ended(stack, response_id)
    assert response["status"] == "cancelled"
    assert response["stop"]["reason"] == "disconnected"


async def test_a_stream_is_resumed_on_the_other_replica(node: Node, stack: Stack) -> None:
    """`retrieve(id, {stream: true, starting_after})`: left on one, gone on with on the other, no gap, no repeat."""
    prompt = Prompt(tokens=100, rate=100)
    async with _run(node, stack, "resume", prompt) as script:
        assert (await script.next("created"))["status"] in {"queued", "in_progress"}
        _check((await script.next("events"))["events"], prompt)
    assert not (await stack.meter.ended(prompt.key)).client_closed


async def test_cancel_from_the_other_replica_is_the_stop(node: Node, stack: Stack) -> None:
    """`responses.cancel(id)`: the stopped response with its partial text, the same when repeated on either."""
    prompt = _long()
    async with _run(node, stack, "cancel", prompt) as script:
        said = await script.next("cancelled")
    assert said["live"]["status"] == "in_progress"
    assert said["cancelled"]["status"] == "cancelled"
    assert said["cancelled"]["stop"]["upstream_closed_at"] is not None
    assert prompt.text().startswith(said["cancelled"]["output"][0]["content"][0]["text"])
    assert said["again"] == said["cancelled"]
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_an_unknown_id_is_its_not_found_error(node: Node, stack: Stack) -> None:
    """Retrieve and cancel reject with status 404 and the code."""
    async with _run(node, stack, "unknown", Prompt()) as script:
        refusals = (await script.next("refused"))["refusals"]
    assert refusals == [
        {"method": method, "status": 404, "code": "response_not_found"} for method in ("retrieve", "cancel")
    ]


async def test_its_websocket_client_creates_and_follows(node: Node, stack: Stack) -> None:
    """`ResponsesWS`: create, every event, the text; no error event."""
    prompt = Prompt()
    async with _run(node, stack, "socket", prompt) as script:
        closed = await script.next("closed")
    _check(closed["events"], prompt)
    assert closed["errors"] == []


async def test_a_cancel_over_its_websocket_closes_it_cleanly(node: Node, stack: Stack) -> None:
    """`response.cancel` sent as it is: accepted, the stopped ending, done, then 1000 `stopped`."""
    prompt = _long()
    async with _run(node, stack, "socket_cancel", prompt) as script:
        closed = await script.next("closed")
    types = [event["type"] for event in closed["events"]]
    ending = closed["events"][types.index("response.incomplete")]
    assert (closed["errors"], closed["code"], closed["reason"]) == ([], 1000, "stopped")
    assert ending["response"]["status"] == "cancelled"
    assert types.index("response.cancel.accepted") < types.index("response.cancel.done")
    assert (await stack.meter.ended(prompt.key)).client_closed


async def test_its_websocket_client_resumes_on_the_other_replica(node: Node, stack: Stack) -> None:
    """A socket that is closed is no stop: `response.retrieve` on the other replica goes on after the last number."""
    prompt = Prompt(tokens=100, rate=100)
    async with _run(node, stack, "socket_resume", prompt) as script:
        _check((await script.next("events"))["events"], prompt)
    assert not (await stack.meter.ended(prompt.key)).client_closed
