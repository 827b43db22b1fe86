"""Every event of every kind of answer is what the SDK's own types say, in order, with exactly the model's text."""

from typing import Any

import pytest

from andon.sim.ask import Api
from tests.stack.client import Client, Event
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

_ANSWERS = ["sim", "sim-refusal", "sim-reasoning", "sim-tools", "sim-burst", "sim-unicode", "sim-bare", "sim-multi"]
_FAILURES = [
    "sim-drop",
    "sim-garbage",
    "sim-half",
    "sim-eof",
    "sim-error-event",
    "sim-failed",
    "sim-400",
    "sim-no-such",
]


@pytest.fixture(params=["responses", "chat"])
def api(request: pytest.FixtureRequest) -> Api:
    answer: Api = request.param
    return answer


@pytest.fixture
def upstream(api: Api, stack: Stack, chat_stack: Stack) -> Stack:
    """Lend the shared stack that asks the model server through this API."""
    return stack if api == "responses" else chat_stack


def _told(output: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the kind and the whole text of each output item."""
    return [(item["type"], "".join(_texts(item))) for item in output]


def _texts(item: dict[str, Any]) -> list[str]:
    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
    return [item.get("arguments", ""), *(part.get("text") or part.get("refusal") or "" for part in parts)]


def _expected(prompt: Prompt, api: Api) -> list[tuple[str, str]]:
    return [(item.kind, "".join(part.text for part in item.parts)) for item in prompt.plan(api).items]


async def _ending(client: Client, prompt: Prompt) -> Event:
    response_id = await client.start(prompt.body)
    return await client.ending(response_id)


@pytest.mark.parametrize("model", _ANSWERS)
async def test_a_whole_answer_has_the_models_text_and_usage(upstream: Stack, api: Api, model: str) -> None:
    """Items, parts and texts are the model's own; the usage is the upstream's and says so."""
    prompt = Prompt(model=model, tokens=40, rate=0)
    async with upstream.connect() as client:
        response = (await _ending(client, prompt))["response"]
        assert response["status"] == "completed"
        assert _told(response["output"]) == _expected(prompt, api)
        assert {item["status"] for item in response["output"]} <= {"completed", None}
        assert response["usage"]["source"] == "upstream"
        assert response["usage"]["output_tokens"] == prompt.tokens
        assert response["model"] == model
        check_responses(client)


@pytest.mark.parametrize("model", _ANSWERS)
async def test_a_stopped_answer_has_the_text_so_far_and_nothing_done(upstream: Stack, api: Api, model: str) -> None:
    """No `*.done` event precedes a stopped ending; its items hold what was sent of them, status `incomplete`."""
    prompt = Prompt(model=model, tokens=2000, rate=200)
    async with upstream.connect() as client:
        response_id = await client.start(prompt.body)
        await client.until(lambda event: event["type"].endswith(".delta"))
        await client.cancel(response_id=response_id)
        response = (await client.ending(response_id))["response"]
        assert response["status"] == "cancelled"
        told, expected = _told(response["output"]), _expected(prompt, api)
        assert told[-1][1]
        for (kind, text), (kind_of_all, whole) in zip(told, expected, strict=False):
            assert kind == kind_of_all
            assert whole.startswith(text)
        assert response["output"][-1]["status"] == "incomplete"
        check_responses(client)


@pytest.mark.parametrize("model", _FAILURES)
async def test_a_failed_answer_keeps_the_text_so_far(upstream: Stack, api: Api, model: str) -> None:
    """One `response.failed`, after events in their order; what was received before the fault is in the output."""
    prompt = Prompt(model=model, tokens=40, rate=0, after=10)
    async with upstream.connect() as client:
        ending = await _ending(client, prompt)
        assert ending["type"] == "response.failed"
        assert ending["response"]["status"] == "failed"
        told = _told(ending["response"]["output"])
        if model not in {"sim-400", "sim-no-such"}:
            assert [kind for kind, _ in told] == [kind for kind, _ in _expected(prompt, api)]
            assert prompt.text().startswith(told[0][1])
        else:
            assert told == []
        check_responses(client)


@pytest.mark.parametrize("model", ["sim", "sim-reasoning", "sim-tools"])
async def test_an_answer_cut_by_its_limit_is_incomplete_and_says_why(upstream: Stack, model: str) -> None:
    """`max_output_tokens` ends as `response.incomplete`, status `incomplete`, with the reason; it is no stop."""
    prompt = Prompt(model=model, tokens=40, rate=0)
    async with upstream.connect() as client:
        response_id = await client.start({**prompt.body, "max_output_tokens": 12})
        ending = await client.ending(response_id)
        assert ending["type"] == "response.incomplete"
        assert ending["response"]["status"] == "incomplete"
        assert ending["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
        assert "stop" not in ending["response"]
        assert ending["response"]["usage"]["output_tokens"] == 12
        check_responses(client)


async def test_what_the_create_said_is_repeated_in_the_response(upstream: Stack) -> None:
    """Every member that a Response repeats is the client's own, from `response.created` to the ending."""
    prompt = Prompt(rate=0)
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
    said = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "tools": [tool],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "user": "somebody",
    }
    async with upstream.connect(session="said") as client:
        response_id = await client.start({**prompt.body, **said})
        ending = await client.ending(response_id)
        created = client.of(response_id)[0]
        assert created["session"] == "said"
        assert created["response"]["status"] == "queued"
        assert created["response"]["metadata"] == prompt.body["metadata"]
        for name, value in said.items():
            assert created["response"][name] == value, name
            assert ending["response"][name] == value, name
        check_responses(client)
