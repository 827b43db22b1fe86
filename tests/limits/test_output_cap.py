"""The output cap: enforced by the worker where the model server does not keep to it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from andon.pieces import Delta, Event, Piece
from andon.usage import count_tokens
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack
from worker import output_cap
from worker.output_cap import OutputCap

CAP = 50


@pytest.mark.parametrize(
    ("env", "source"),
    [
        ({"ANDON_UPSTREAM_API": "responses"}, "estimated"),
        ({"ANDON_UPSTREAM_API": "chat"}, "estimated"),
        ({"ANDON_UPSTREAM_API": "chat", "ANDON_UPSTREAM_RUNNING_USAGE": "true"}, "upstream"),
    ],
)
async def test_a_model_server_that_keeps_no_limit_is_closed(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]], env: dict[str, str], source: str
) -> None:
    """It would go on for hours: the response ends as incomplete, its usage settled, its upstream closed."""
    prompt = Prompt(model="sim-unlimited", tokens=1_000_000, rate=500)
    limit = {"ANDON_MAX_OUTPUT_TOKENS": str(CAP)}
    async with own_stack(gateways=1, **env, **limit) as stack, stack.connect(0) as client:
        response_id = await client.start(prompt.body)
        ending = await client.ending(response_id)
        response = ending["response"]
        assert (ending["type"], response["status"]) == ("response.incomplete", "incomplete")
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["usage"]["source"] == source
        assert CAP < response["usage"]["output_tokens"] < 10 * CAP
        check_responses(client)
        assert (await stack.meter.ended(prompt.key)).tokens_generated < 10_000


def a_delta(text: str) -> Piece:
    return Delta("response.output_text.delta", "msg", 0, ("content_index", 0), text)


def test_the_count_is_that_of_the_settlement() -> None:
    """Not one token more, however the text was cut, and log probabilities hide none of it."""
    text = "The quick brown fox jumps over the lazy dog. " * 20
    cap = OutputCap(count_tokens(text))
    for at in range(0, len(text), 3):
        piece = text[at : at + 3]
        odd = Event("response.output_text.delta", {"delta": piece, "logprobs": []})
        assert not cap.is_exceeded([odd if at % 2 else a_delta(piece)], None)
    assert cap.is_exceeded([a_delta(" one more sentence")], None)


def test_what_the_upstream_tells_is_believed() -> None:
    """Its own count decides, in either direction."""
    cap = OutputCap(2)
    assert not cap.is_exceeded([a_delta("many more words than that")], {"output_tokens": 2})
    assert cap.is_exceeded([a_delta("x")], {"output_tokens": 3})


def test_a_long_answer_is_counted_a_few_dozen_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each of its pieces: that would cost the square of its length."""
    counts: list[int] = []

    def counted(text: str) -> int:
        counts.append(len(text))
        return count_tokens(text)

    monkeypatch.setattr(output_cap, "count_tokens", counted)
    cap = OutputCap(5000)
    pieces = 0
    while not cap.is_exceeded([a_delta(" word")], None):
        pieces += 1
    assert pieces >= 4999
    assert len(counts) < 100


def test_what_is_no_text_counts_nothing() -> None:
    """Openings and endings of items."""
    body: dict[str, Any] = {"output_index": 0, "item": {"type": "message", "id": "m" * 1000}}
    assert not OutputCap(1).is_exceeded([Event("response.output_item.added", body)], None)
