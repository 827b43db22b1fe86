from dataclasses import dataclass
from typing import Any, Self

import pytest

from andon import keys
from andon.ids import ResponseId
from tests.delivery.expiry import expired
from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying(Prompt):
    """A prompt with few words of its own: the meter shows 200 characters of what the model was asked."""

    words: str

    @classmethod
    def of(cls, words: str, tokens: int, rate: float = 0) -> Self:
        """Ask in these words for so many tokens."""
        return cls(words=words, tokens=tokens, rate=rate)

    @property
    def body(self) -> dict[str, Any]:
        """The members of the create."""
        return {**super(Saying, self).body, "input": self.words}


@pytest.fixture(params=["responses", "chat"])
def either(request: pytest.FixtureRequest) -> Stack:
    """Lend a stack for each of the two APIs a model server may speak."""
    name = "stack" if request.param == "responses" else "chat_stack"
    found = request.getfixturevalue(name)
    assert isinstance(found, Stack)
    return found


async def run(client: Client, prompt: Prompt, **members: object) -> str:
    """Have a response run to its end; return its id."""
    response_id = await client.start({**prompt.body, **members})
    assert (await client.ending(response_id))["response"]["status"] == "completed"
    return response_id


async def asked(stack: Stack, prompt: Prompt) -> str:
    """Return what the model server was asked: all text of it, one line a message."""
    return (await stack.meter.ended(prompt.key)).prompt


async def test_a_turn_goes_on_from_the_turns_before_it(stack: Stack, session: str) -> None:
    """The model is asked with all that was said, in order, on another replica, too; instructions are not inherited."""
    first, second, third = Saying.of("Begin.", 5), Saying.of("Go on.", 6), Saying.of("End.", 7)
    async with stack.connect(0, session=session) as client:
        one = await run(client, first, instructions="Speak up.")
        two = await run(client, second, previous_response_id=one)
    async with stack.connect(1, session=session) as other:
        three = await run(other, third, previous_response_id=two, instructions="Whisper.")
        said = [first.body["input"], client.text(one), second.body["input"], client.text(two), third.body["input"]]
        assert await asked(stack, third) == "\n".join(["Whisper.", *said])
        assert other.text(three)


async def test_the_partial_answer_of_a_stopped_turn_is_part_of_the_conversation(either: Stack, session: str) -> None:
    """What the user saw before the stop is what the model is told it said, whichever API it speaks."""
    first, second = Saying.of("Begin.", 2000, 50), Saying.of("Go on.", 5)
    async with either.connect(0, session=session) as client:
        stopped = await client.start(first.body)
        await client.text_begun(stopped, deltas=5)
        await client.cancel()
        await client.closed()
    async with either.connect(0, session=session) as client_again:
        await run(client_again, second, previous_response_id=stopped)
    assert await asked(either, second) == "\n".join([first.body["input"], client.text(stopped), second.body["input"]])


async def test_a_turn_may_be_asked_for_while_the_one_before_it_runs(stack: Stack, session: str) -> None:
    """In the same lane it waits, and then the whole of the earlier answer is its context."""
    first, second = Saying.of("Begin.", 24, 50), Saying.of("Go on.", 5)
    async with stack.connect(0, session=session) as client:
        one = await client.start(first.body)
        await client.text_begun(one)
        two = await client.start({**second.body, "previous_response_id": one})
        await client.ending(two)
        assert client.text(one) == first.text()
    assert await asked(stack, second) == "\n".join([first.body["input"], first.text(), second.body["input"]])


async def test_a_turn_that_was_not_to_be_stored_cannot_be_gone_on_from(stack: Stack, session: str) -> None:
    """`store: false` is honoured; so is the end of an id nobody made, and of another session's."""
    mine, stranger = Prompt(tokens=3, rate=0), Prompt(tokens=3, rate=0)
    async with stack.connect(0, session=session) as client, stack.connect(0) as elsewhere:
        unstored = await run(client, mine, store=False)
        foreign = await run(elsewhere, stranger)
        unknown = unstored[:-4] + "aaaa"
        for number, previous in enumerate((unstored, foreign, unknown, "resp_nonsense")):
            await client.create({**Prompt().body, "previous_response_id": previous}, event_id=f"try-{number}")
            error = await client.event("error", event_id=f"try-{number}")
            assert (error["status"], error["error"]["code"], error["error"]["param"]) == (
                400,
                "previous_response_not_found",
                "previous_response_id",
            )
        assert client.close is None


async def test_an_expired_turn_cannot_be_gone_on_from(brief_stack: Stack, session: str) -> None:
    """After `ANDON_SESSION_TTL_S` the conversation is forgotten, and the error is OpenAI's own."""
    async with brief_stack.connect(0, session=session) as client:
        response_id = await run(client, Prompt(tokens=3, rate=0))
        await expired(brief_stack, keys.turn(ResponseId(response_id)))
        await client.create({**Prompt().body, "previous_response_id": response_id})
        assert (await client.event("error"))["error"]["code"] == "previous_response_not_found"
