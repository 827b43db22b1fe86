"""Bounds of one create: what it may send and ask for; asked at the doors."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from andon.settings import Settings
from tests.limits.door import post
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

_ENV = {"ANDON_MAX_INPUT_BYTES": "2000", "ANDON_MAX_OUTPUT_TOKENS": "50", "ANDON_DEADLINE_S": "60"}
_LARGE = "x" * 2000
_TOOLS = [{"type": "function", "name": "f", "description": _LARGE, "parameters": {}}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _bounded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("bounded"), gateways=1, workers=1, env=_ENV) as stack:
        yield stack


@pytest.fixture
async def bounded(_bounded: Stack) -> AsyncIterator[Stack]:
    """Lend a stack with bounds."""
    yield _bounded
    await _bounded.check_quiet()


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"input": _LARGE}, "too_many_input_bytes", "input"),
        ({"input": [{"role": "user", "content": _LARGE}]}, "too_many_input_bytes", "input"),
        ({"input": "short", "instructions": _LARGE}, "too_many_input_bytes", "instructions"),
        ({"input": "short", "tools": _TOOLS}, "too_many_input_bytes", "tools"),
        ({"input": "x" * 1000, "instructions": "y" * 1100}, "too_many_input_bytes", "instructions"),
        ({"max_output_tokens": 51}, "too_many_output_tokens", "max_output_tokens"),
        ({"deadline_s": 61}, "deadline_too_long", "deadline_s"),
        ({"deadline_s": 0}, "invalid_value", "deadline_s"),
        ({"deadline_s": "soon"}, "invalid_type", "deadline_s"),
        ({"deadline_s": True}, "invalid_type", "deadline_s"),
    ],
)
async def test_what_is_beyond_a_bound_is_refused_by_name(
    bounded: Stack, members: dict[str, Any], code: str, param: str
) -> None:
    """At both doors alike, and nothing is created."""
    prompt = Prompt(tokens=3)
    body = {**prompt.body, **members}
    reply = await post(bounded, body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert param in error["message"]
    async with bounded.connect(0) as client:
        await client.create(body, stream_id="a", event_id="e")
        event = await client.event("error", event_id="e", stream_id="a")
        assert event["error"] == error
    assert not (await bounded.meter.read(prompt.key)).requests


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": [{"role": "user", "content": _LARGE}]}, "messages"),
        ({"max_completion_tokens": 51}, "max_completion_tokens"),
        ({"max_tokens": 51}, "max_tokens"),
    ],
)
async def test_a_chat_is_refused_in_its_own_words(bounded: Stack, members: dict[str, Any], param: str) -> None:
    """The member that the client sent is named, not the one it became."""
    body = {"model": "sim", "messages": [{"role": "user", "content": "hello"}], **members}
    reply = await post(bounded, body, path="/v1/chat/completions")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert f"`{param}`" in reply.json()["error"]["message"]


async def test_what_keeps_to_the_bounds_is_served(bounded: Stack) -> None:
    """Up to the bound; turns that are stored already are not counted again."""
    body = {**Prompt(tokens=3).body, "input": "x" * 1500, "max_output_tokens": 50, "deadline_s": 60}
    first = (await post(bounded, body)).json()
    assert first["status"] == "completed"
    second = (await post(bounded, {**body, "previous_response_id": first["id"]})).json()
    assert second["status"] == "completed"


async def test_a_create_without_a_limit_of_its_own_asks_the_model_for_the_bound(bounded: Stack) -> None:
    """The model server is told; the Response says so, as OpenAI's would."""
    ended = (await post(bounded, Prompt(tokens=500, rate=0).body)).json()
    assert (ended["status"], ended["max_output_tokens"]) == ("incomplete", 50)
    assert ended["incomplete_details"] == {"reason": "max_output_tokens"}


def test_nothing_is_bounded_by_default() -> None:
    """Without authentication everybody is one principal: who is to be limited says so."""
    settings = Settings()
    limits = [
        settings.max_live_per_principal,
        settings.max_live_per_tenant,
        settings.creates_per_minute,
        settings.max_sockets_per_principal,
        settings.max_sockets,
        settings.max_input_bytes,
        settings.max_output_tokens,
        settings.deadline_s,
    ]
    assert not any(limits)
