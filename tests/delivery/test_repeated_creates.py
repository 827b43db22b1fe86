from andon import keys
from andon.ids import ResponseId
from tests.delivery.expiry import expired
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def test_a_create_repeated_after_a_reconnect_follows_the_same_response(stack: Stack, session: str) -> None:
    """The client never heard whether its create arrived; it sends it again, elsewhere: one response, one bill."""
    prompt = Prompt(tokens=60, rate=100)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(prompt.body, event_id="once")
        await client.text_begun(response_id)
        client.socket.transport.abort()
    async with stack.connect(1, session=session) as again, stack.connect(0, session=session) as late:
        assert await again.start(prompt.body, event_id="once") == response_id
        await again.ending(response_id)
        assert again.text(response_id) == prompt.text()
        # Also when it has ended, for as long as it is kept.
        assert await late.start(prompt.body, event_id="once") == response_id
        await late.ending(response_id)
        assert late.frames == again.frames
    assert (await stack.meter.ended(prompt.key)).finished


async def test_the_same_event_id_with_another_body_is_a_conflict(stack: Stack, session: str) -> None:
    """It is an error of its own, and the response that was asked for first goes on."""
    prompt = Prompt(tokens=20, rate=100)
    async with stack.connect(0, session=session) as client:
        response_id = await client.start(prompt.body, event_id="once")
        await client.create(Prompt().body, event_id="once")
        error = await client.event("error")
        assert (error["status"], error["error"]["code"], error["event_id"]) == (409, "idempotency_conflict", "once")
        await client.ending(response_id)
        assert client.text(response_id) == prompt.text()


async def test_an_event_id_belongs_to_its_session(stack: Stack, session: str) -> None:
    """Two sessions that count their creates alike do not get each other's."""
    prompt, other_prompt = Prompt(tokens=5, rate=0), Prompt(tokens=5, rate=0)
    async with stack.connect(0, session=session) as client, stack.connect(0) as other:
        mine = await client.start(prompt.body, event_id="1")
        theirs = await other.start(other_prompt.body, event_id="1")
        assert mine != theirs
        for who, which in ((client, mine), (other, theirs)):
            await who.ending(which)


async def test_an_event_id_is_free_again_when_its_response_is_kept_no_more(brief_stack: Stack, session: str) -> None:
    """After `ANDON_LOG_TTL_S` there is nothing to follow: a retrieve says so, and the same create is a new one."""
    prompt = Prompt(tokens=3, rate=0)
    async with brief_stack.connect(0, session=session, on_stop="keep") as client:
        first = await client.start(prompt.body, event_id="once")
        await client.ending(first)
        await expired(brief_stack, keys.job(ResponseId(first)))
        await client.send("response.retrieve", response_id=first, starting_after=1)
        error = await client.event("error")
        assert (error["status"], error["error"]["code"]) == (404, "response_not_found")
        second = await client.start(prompt.body, event_id="once")
        assert second != first
        await client.ending(second)
    assert len((await brief_stack.meter.read(prompt.key)).requests) == 2
