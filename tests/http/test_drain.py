"""A replica that restarts: streams go on elsewhere, waiting requests get their answer, nothing is stopped by it."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2

from tests.http.sse import Sent, events, sent, text_begun
from tests.stack.prompt import Prompt
from tests.stack.stack import Gateway, Stack

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]


@asynccontextmanager
async def _client(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    # A small buffer of its own, so that a client that does not read is soon felt.
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)]
    transport = httpx2.AsyncHTTPTransport(verify=False, trust_env=False, socket_options=options)
    async with httpx2.AsyncClient(base_url=gateway.http, transport=transport, timeout=20.0) as client:
        yield client


async def test_a_drain_ends_streams_for_another_replica_and_lets_waiting_requests_finish(own_stack: MakeStack) -> None:
    """The stream says `restarting` and goes on elsewhere without a gap; the short request is answered; then exit 0.

    A request that lasts longer than the drain is told its response's id, and that repeating it would be another one.
    """
    streamed, short, long = Prompt(tokens=300, rate=100), Prompt(tokens=100, rate=100), Prompt(tokens=50_000, rate=100)
    async with own_stack(gateways=1, workers=1) as stack:
        going = await stack.start_gateway(ANDON_DRAIN_S="3")
        async with _client(going) as http, _client(stack.gateways[0]) as other:
            waiting = [
                asyncio.create_task(http.post("/v1/responses?session=waits", json=prompt.body))
                for prompt in (short, long)
            ]
            for prompt in (short, long):
                await stack.meter.opened(prompt.key)
            async with http.stream("POST", "/v1/responses", json={**streamed.body, "stream": True}) as reply:
                stream = sent(reply)
                got = await text_begun(stream)
                going.send_signal(signal.SIGTERM)
                got += [one.event async for one in stream]
            last_words = got.pop()
            assert (last_words["type"], last_words["code"]) == ("error", "restarting")
            assert last_words["sequence_number"] == got[-1]["sequence_number"]

            refused = await http.post("/v1/responses", json=Prompt().body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "restarting"

            where = f"/v1/responses/{got[0]['response_id']}"
            after = last_words["sequence_number"]
            async with other.stream("GET", where, params={"stream": "true", "starting_after": after}) as reply:
                rest: list[Sent] = await events(reply)
            numbers = [event["sequence_number"] for event in [*got, *(one.event for one in rest)]]
            assert numbers == list(range(len(numbers)))
            assert rest[-1].event["response"]["status"] == "completed"

            answered, told = await asyncio.gather(*waiting)
            assert answered.json()["status"] == "completed"
            assert told.status_code == 503
            assert told.headers["x-should-retry"] == "false"
            left_behind = told.headers["x-andon-response-id"]
            assert left_behind in told.json()["error"]["message"]
            assert await going.ended() == 0
            assert (await other.get(f"/v1/responses/{left_behind}")).json()["status"] == "in_progress"
            assert (await other.post(f"/v1/responses/{left_behind}/cancel")).json()["status"] == "cancelled"


async def test_silence_has_comments_and_a_reader_that_takes_nothing_is_cut(own_stack: MakeStack) -> None:
    """A model that thinks does not cost a proxy's patience; a client that does not read is one that has left."""
    async with own_stack(gateways=1, workers=1, ANDON_SSE_KEEPALIVE_S="0.1", ANDON_WS_PING_TIMEOUT_S="1") as stack:
        thinking = Prompt(ttft_s=0.5, tokens=3)
        flood = Prompt(tokens=500_000, rate=20_000)
        async with _client(stack.gateways[0]) as http:
            async with http.stream("POST", "/v1/responses", json={**thinking.body, "stream": True}) as reply:
                got = [one async for one in sent(reply)]
            assert [one for one in got if not one.name]
            assert got[-1].name == "response.completed"
            async with http.stream("POST", "/v1/responses", json={**flood.body, "stream": True}) as reply:
                response_id = reply.headers["x-andon-response-id"]
                assert (await stack.meter.ended(flood.key)).client_closed  # nothing of the body is read
            stopped = (await http.get(f"/v1/responses/{response_id}")).json()
        assert stopped["stop"]["reason"] == "disconnected"
