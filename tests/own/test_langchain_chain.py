"""The worked example: a LangChain chain in the model server's place, in front of the simulated model."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

pytestmark = pytest.mark.timeout(120)  # LangChain takes seconds to import where the machine is loaded


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_chain_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {"ANDON_UPSTREAM_API": "examples.langchain_chain:answer"}
    async with Stack(tmp_path_factory.mktemp("chain-stack"), gateways=2, workers=1, env=env) as stack:
        yield stack


@pytest.fixture
async def chain(_shared_chain_stack: Stack) -> AsyncIterator[Stack]:
    """Lend the stack whose model is the chain of the example."""
    yield _shared_chain_stack
    await _shared_chain_stack.check_quiet()


async def test_it_streams(chain: Stack) -> None:
    """Every word of the model's is a delta of ours; the usage is the model's own."""
    prompt = Prompt()
    async with chain.connect() as client:
        response_id = await client.start(prompt.body)
        ending = await client.ending(response_id)
        check_responses(client)
    assert ending["response"]["status"] == "completed"
    usage = ending["response"]["usage"]
    assert (usage["output_tokens"], usage["source"]) == (prompt.tokens, "upstream")
    assert client.text(response_id) == ending["response"]["output"][0]["content"][0]["text"]
    (record,) = (await chain.meter.read(prompt.key)).requests
    assert "You answer in plain words" in record.prompt
    assert not record.client_closed


async def test_it_streams_as_the_model_speaks(chain: Stack) -> None:
    """The first delta is there while the model is still speaking."""
    prompt = Prompt(tokens=2000, rate=100)
    async with chain.connect() as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        assert (await chain.meter.read(prompt.key)).open == 1
        await client.cancel(response_id=response_id)
        await client.ending(response_id)


async def test_a_stop_closes_its_connection_to_the_model(chain: Stack) -> None:
    """From another replica, in the middle of the stream: the model server's meter sees the close."""
    prompt = Prompt(tokens=2000, rate=100)
    async with chain.connect(0) as client, chain.connect(1) as other:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        await other.cancel(response_id=response_id)
        response = (await client.ending(response_id))["response"]
        check_responses(client)
    assert response["status"] == "cancelled"
    assert response["stop"]["upstream_closed_at"] is not None
    assert (await chain.meter.ended(prompt.key)).client_closed


async def test_a_conversation_goes_on(chain: Stack) -> None:
    """The chain gets the turns before: question, answer, question."""
    first, second = Prompt(tokens=5), Prompt(tokens=5)
    async with chain.connect(session=first.key) as client:
        first_id = await client.start(first.body)
        await client.ending(first_id)
        second_id = await client.start(second.body, previous_response_id=first_id)
        await client.ending(second_id)
    (record,) = (await chain.meter.read(second.key)).requests
    parts = [str(first.body["input"]), client.text(first_id), str(second.body["input"])]
    places = [record.prompt.index(part) for part in parts]
    assert places == sorted(places)
