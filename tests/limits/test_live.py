"""Live responses and creates: asked at both doors of two replicas."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from andon.database import Database
from tests.limits.door import cancel, check_refusal, post, post_in_background
from tests.stack.client import Client, Event
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
LONG: dict[str, Any] = {"tokens": 100_000, "rate": 20.0}


async def count_keys(stack: Stack, pattern: str) -> int:
    """Count what is in Redis."""
    async with Database(stack.servers.url, timeout_s=5.0).open() as database:
        await database.wait_connected(15)
        return sum(map(len, await database.everywhere("KEYS", pattern)))


async def _creates(client: Client, count: int) -> tuple[list[str], list[Event]]:
    """Create so many at once, each in a lane; return the responses that were accepted, and the errors."""
    for number in range(count):
        await client.create(Prompt(**LONG).body, stream_id=f"lane{number}")
    await client.until(lambda _: len(client.response_ids()) + len(client.all("error")) == count)
    return client.response_ids(), client.all("error")


async def _let_in(stack: Stack) -> None:
    """Create as a client does that was told to come back: places are freed a moment after the endings."""

    async def is_let_in() -> bool:
        reply = await post(stack, Prompt(tokens=2).body)
        if reply.status_code != 200:
            check_refusal(reply, "too_many_live_responses")
        return bool(reply.status_code == 200)

    await wait_until(is_let_in, timeout_s=20)


async def test_exactly_the_limit_lives_over_both_doors_of_two_replicas(own_stack: OwnStack) -> None:
    """Sixteen creates at once, half of them over HTTP: five live, the rest is told so; stopped, they make room."""
    limit = {"ANDON_MAX_LIVE_PER_PRINCIPAL": "5"}
    async with own_stack(**limit) as stack, stack.connect(0) as one, stack.connect(1) as other:
        replies, *told = await asyncio.gather(
            asyncio.gather(*(post_in_background(stack, Prompt(**LONG).body, gateway=n % 2) for n in range(8))),
            _creates(one, 4),
            _creates(other, 4),
        )
        live = [reply.json()["id"] for reply in replies if reply.status_code == 200]
        live += [response_id for ids, _ in told for response_id in ids]
        assert len(live) == 5
        for reply in replies:
            if reply.status_code != 200:
                check_refusal(reply, "too_many_live_responses")
        for event in [event for _, errors in told for event in errors]:
            assert (event["status"], event["error"]["code"]) == (429, "too_many_live_responses")
            assert event["error"]["type"] == "rate_limit_error"
            assert event["error"]["retry_after_s"] > 0
            assert event["stream_id"].startswith("lane")
        assert await count_keys(stack, "*:job:*") == 5
        await asyncio.gather(*(cancel(stack, response_id) for response_id in live))
        await asyncio.gather(*(_let_in(stack) for _ in range(5)))


async def test_a_chat_is_counted_as_well(own_stack: OwnStack) -> None:
    """The same jobs, the same limit; its error is what OpenAI's clients know."""
    env = {"ANDON_MAX_LIVE_PER_TENANT": "1"}
    async with own_stack(gateways=1, **env) as stack:
        first = await post_in_background(stack, Prompt(**LONG).body)
        chat = {"model": "sim", "messages": [{"role": "user", "content": "hello"}]}
        reply = await post(stack, chat, path="/v1/chat/completions")
        check_refusal(reply, "too_many_live_responses_of_tenant")
        await cancel(stack, first.json()["id"])
        assert (await post(stack, chat, path="/v1/chat/completions")).status_code == 200


async def test_one_after_another_is_never_refused(own_stack: OwnStack) -> None:
    """With room for one: whoever has seen the end may create at once, also where no worker was told of the limit."""
    async with own_stack(workers=0, ANDON_MAX_LIVE_PER_PRINCIPAL="1") as stack:
        await stack.start_worker(ANDON_MAX_LIVE_PER_PRINCIPAL="0")
        for number in range(12):
            reply = await post(stack, Prompt(tokens=1, rate=0).body, gateway=number % 2)
            assert reply.status_code == 200, reply.text


async def test_the_places_of_a_killed_workers_responses_are_free_again(own_stack: OwnStack) -> None:
    """Once they have been ended in its name; nobody has to wait for more than that."""
    limit = {"ANDON_MAX_LIVE_PER_PRINCIPAL": "2", "ANDON_LEASE_S": "2"}
    async with own_stack(gateways=1, **limit) as stack, stack.connect(0) as client:
        ids = [await client.start(Prompt(**LONG).body, stream_id=lane) for lane in ("a", "b")]
        for response_id in ids:
            await client.text_begun(response_id)
        check_refusal(await post_in_background(stack, Prompt().body), "too_many_live_responses")
        await stack.workers[0].kill()
        await stack.start_worker()
        for response_id in ids:
            ending = await client.ending(response_id, timeout_s=40)
            assert ending["response"]["error"]["type"] == "worker_lost"
        for _ in range(2):
            assert (await post(stack, Prompt(tokens=2).body)).status_code == 200


async def test_the_places_that_a_killed_gateway_held_are_free_when_their_responses_end(own_stack: OwnStack) -> None:
    """Its responses go on, and count, until somebody stops them over the other gateway."""
    async with own_stack(ANDON_MAX_LIVE_PER_PRINCIPAL="1", ANDON_LEASE_S="2") as stack:
        created = await post_in_background(stack, Prompt(**LONG).body)
        await stack.gateways[0].kill()
        check_refusal(await post_in_background(stack, Prompt().body, gateway=1), "too_many_live_responses")
        reply = await post(stack, {}, gateway=1, path=f"/v1/responses/{created.json()['id']}/cancel")
        assert reply.status_code == 200

        async def is_let_in() -> bool:
            return (await post(stack, Prompt(tokens=1).body, gateway=1)).status_code == 200

        await wait_until(is_let_in, timeout_s=20)


async def test_creates_are_limited_a_minute_on_both_replicas_together(own_stack: OwnStack) -> None:
    """Two at once and no third; the refusal says in how many seconds there is one, and a socket is told the same."""
    async with own_stack(ANDON_CREATES_PER_MINUTE="2") as stack, stack.connect(0) as client:
        replies = await asyncio.gather(
            *(post_in_background(stack, Prompt(tokens=1).body, gateway=number % 2) for number in range(8))
        )
        refusals = [reply for reply in replies if reply.status_code != 200]
        assert len(refusals) == 6
        for reply in refusals:
            check_refusal(reply, "rate_limit_exceeded")
            assert int(reply.headers["retry-after"]) <= 30
        await client.create(Prompt().body)
        error = (await client.event("error"))["error"]
        assert error["code"] == "rate_limit_exceeded"
        assert 0 < error["retry_after_s"] <= 30


async def test_a_repeat_with_its_key_is_not_refused(own_stack: OwnStack) -> None:
    """The limit is reached by the very response that it follows."""
    async with own_stack(gateways=1, ANDON_MAX_LIVE_PER_PRINCIPAL="1") as stack, stack.connect(0) as client:
        body = Prompt(**LONG).body
        response_id = await client.start(body, event_id="mine")
        async with stack.connect(0, session="another") as stranger:
            await stranger.create(body, event_id="mine")
            assert (await stranger.event("error"))["error"]["code"] == "too_many_live_responses"
        session = client.of(response_id)[0]["session"]
        async with stack.connect(0, session=session) as again:
            await again.create(body, event_id="mine")
            await again.text_begun(response_id)
            await client.cancel(response_id=response_id)
            await again.ending(response_id)
            assert not again.all("error")
