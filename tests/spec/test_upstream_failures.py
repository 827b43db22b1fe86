"""Upstream failures: each ends in exactly one `response.failed` that says what happened and what to do."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, get_args

import pytest
from openai.types.responses import ResponseError

from tests.stack.client import Event
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
_CODES = get_args(ResponseError.model_fields["code"].annotation)

# model: code, cause, and a word of the remedy.
_FAILURES = {
    "sim-400": ("invalid_prompt", "upstream_rejected", "Change the request"),
    "sim-401": ("server_error", "upstream_unauthorized", "OPENAI_API_KEY"),
    "sim-403": ("server_error", "upstream_unauthorized", "OPENAI_API_KEY"),
    "sim-404": ("invalid_prompt", "upstream_rejected", "model's name"),
    "sim-422": ("invalid_prompt", "upstream_rejected", "Change the request"),
    "sim-429": ("rate_limit_exceeded", "upstream_rate_limited", "again later"),
    "sim-500": ("server_error", "upstream_error", "again later"),
    "sim-529": ("server_error", "upstream_error", "again later"),
    "sim-drop": ("server_error", "upstream_cut", "Try again"),
    "sim-garbage": ("server_error", "upstream_garbage", "OPENAI_BASE_URL"),
    "sim-half": ("server_error", "upstream_cut", "Try again"),
    "sim-eof": ("server_error", "upstream_cut", "Try again"),
    "sim-error-event": ("server_error", "upstream_error", "Try again"),
    "sim-failed": ("server_error", "upstream_error", "Try again"),
}
_TRIES = {"sim-429": 3, "sim-500": 3, "sim-529": 3}


async def _failed(stack: Stack, prompt: Prompt) -> dict[str, Any]:
    """Run to the failure; return its error, when all that holds of every failure was found to hold."""
    async with stack.connect() as client:
        response_id = await client.start(prompt.body)
        ending: Event = await client.ending(response_id)
        assert ending["type"] == "response.failed"
        assert ending["response"]["status"] == "failed"
        error: dict[str, Any] = ending["response"]["error"]
        assert error["code"] in _CODES
        assert len(error["message"]) > 20
        assert stack.api_key not in str(ending)
        check_responses(client)
        # The socket goes on.
        await client.send("ping", event_id="there")
        await client.event("pong", event_id="there")
        assert client.close is None
        assert client.of(response_id)[-1] is ending
        return error


@pytest.mark.parametrize("model", _FAILURES)
async def test_a_failing_model_server_ends_in_one_failure_with_its_cause(
    stack: Stack, chat_stack: Stack, model: str
) -> None:
    """`error.code` is one of the SDK's, `error.type` the precise cause, the message says what to do; on either API."""
    code, cause, remedy = _FAILURES[model]
    for upstream in (stack, chat_stack):
        prompt = Prompt(model=model, rate=0, after=5)
        error = await _failed(upstream, prompt)
        assert (error["code"], error["type"]) == (code, cause)
        assert remedy in error["message"]
        assert len((await upstream.meter.read(prompt.key)).requests) == _TRIES.get(model, 1)


async def test_a_passing_trouble_before_the_first_token_is_not_seen(stack: Stack) -> None:
    """Two 500s, then an answer: the worker tries again by itself, and the client gets the whole answer once."""
    prompt = Prompt(model="sim-flaky-2", rate=0)
    async with stack.connect() as client:
        response_id = await client.start(prompt.body)
        assert (await client.ending(response_id))["type"] == "response.completed"
        assert client.text(response_id) == prompt.text()
        assert len((await stack.meter.read(prompt.key)).requests) == 3
        check_responses(client)


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:1/v1", "http://no-such-host.invalid/v1"],
    ids=["refused_connection", "dns_failure"],
)
async def test_a_model_server_that_is_not_there_is_unreachable(own_stack: _OwnStack, base_url: str) -> None:
    """A refused connection and a name that does not resolve are `upstream_unreachable`, and name OPENAI_BASE_URL."""
    async with own_stack(gateways=1, workers=1, OPENAI_BASE_URL=base_url) as stack:
        error = await _failed(stack, Prompt())
        assert (error["code"], error["type"]) == ("server_error", "upstream_unreachable")
        assert "OPENAI_BASE_URL" in error["message"]


async def test_a_model_server_that_stalls_is_given_up_after_the_gap(own_stack: _OwnStack) -> None:
    """Silence longer than `ANDON_UPSTREAM_GAP_S` is `upstream_timeout`: mid-stream, after headers and before them."""
    async with own_stack(gateways=1, workers=1, ANDON_UPSTREAM_GAP_S="0.3", ANDON_UPSTREAM_RETRIES="0") as stack:
        for model in ("sim-stall", "sim-silent", "sim-mute"):
            prompt = Prompt(model=model, after=5)
            error = await _failed(stack, prompt)
            assert (error["code"], error["type"]) == ("server_error", "upstream_timeout"), model
            assert (await stack.meter.ended(prompt.key)).client_closed


async def test_the_key_is_shown_to_nobody_even_by_an_upstream_that_echoes_it(stack: Stack) -> None:
    """A 401 whose body holds the key: no event and no log line, at debug level, has it.

    The shared stacks also look for it at their end, in everything that was ever logged or sent.
    """
    error = await _failed(stack, Prompt(model="sim-401"))
    assert "sk-" not in error["message"]
    for process in (*stack.gateways, *stack.workers):
        assert stack.api_key not in process.log()


@pytest.mark.parametrize("field", ["background_options", "conversation", "truncation"])
async def test_a_field_that_chat_cannot_be_asked_for_is_refused_by_name(chat_stack: Stack, field: str) -> None:
    """Never dropped in silence: `unsupported_parameter` names the field, and the model server is not asked."""
    prompt = Prompt()
    async with chat_stack.connect() as client:
        value: Any = "auto" if field == "truncation" else {"id": "x"}
        response_id = await client.start({**prompt.body, field: value})
        response = (await client.ending(response_id))["response"]
        assert response["error"]["type"] == "unsupported_parameter"
        assert response["error"]["param"] == field
        assert field in response["error"]["message"]
        assert (await chat_stack.meter.read(prompt.key)).requests == []
