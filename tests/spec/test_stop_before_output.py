"""A stop before there is anything to stop: while queued, before the first token, during a retry's back-off."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

_NOTHING_USED = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
    "source": "upstream",
}
_LONG_S = 25.0  # longer than any wait of these tests, and a back-off that the worker still takes
_BEFORE_THE_BEAT_S = 1.0
_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


def _assert_no_text(response: dict[str, Any]) -> None:
    assert response["status"] == "cancelled"
    assert not [part["text"] for item in response["output"] for part in item["content"] if part["text"]]


async def test_a_response_stopped_in_the_queue_never_reaches_the_model(own_stack: _OwnStack) -> None:
    """No worker runs: the stop itself settles with zero usage, and a worker that starts later makes no request."""
    stopped, later = Prompt(), Prompt()
    async with own_stack(gateways=2, workers=0) as stack:
        async with stack.connect(0) as creator, stack.connect(1) as stopper:
            response_id = await creator.start(stopped.body)
            await stopper.cancel(response_id=response_id)
            response = (await creator.ending(response_id))["response"]
            assert [event["type"] for event in creator.of(response_id)] == ["response.created", "response.incomplete"]
            assert response["status"] == "cancelled"
            assert response["output"] == []
            assert response["usage"] == _NOTHING_USED
            assert response["stop"]["upstream_closed_at"] is None
            (settled,) = (await stopper.event("response.cancel.done"))["stops"]
            assert settled["recorded"] <= settled["settled"]
            assert settled["acked"] is None
            assert settled["upstream_closed"] is None
            assert await creator.closed() == (1000, "stopped")
            assert await stopper.closed() == (1000, "stopped")
            check_responses(creator)
        async with stack.connect(0) as client:
            later_id = await client.start(later.body)
            await stack.start_worker()
            # The queue is in order: when this one is done, the stopped one has been passed by.
            assert (await client.ending(later_id))["response"]["status"] == "completed"
        assert (await stack.meter.read(stopped.key)).requests == []


@pytest.mark.parametrize(
    ("model", "ttft_s"),
    [
        pytest.param("sim-mute", 0.0, id="no_headers"),
        pytest.param("sim-silent", 0.0, id="headers_only"),
        pytest.param("sim", _LONG_S, id="long_thought"),
    ],
)
async def test_a_stop_before_the_first_token_closes_the_silent_upstream(
    stack: Stack, model: str, ttft_s: float
) -> None:
    """The connection is closed although nothing comes on it, not even headers; what was sent is counted."""
    prompt = Prompt(model=model, ttft_s=ttft_s)
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await stack.meter.opened(prompt.key)
        await stopper.cancel(response_id=response_id)
        response = (await creator.ending(response_id))["response"]
        _assert_no_text(response)
        assert response["usage"]["output_tokens"] == 0
        assert response["usage"]["input_tokens"] > 0
        assert response["usage"]["source"] == "estimated"
        assert response["stop"]["requested_at"] <= response["stop"]["upstream_closed_at"]
        assert await creator.closed() == (1000, "stopped")
        record = await stack.meter.ended(prompt.key)
        assert record.client_closed
        assert record.closed_at is not None
        # By the published hint: nothing is appended whose answer could tell, and the beat comes later than this.
        assert record.closed_at - response["stop"]["requested_at"] < _BEFORE_THE_BEAT_S
        assert record.tokens_generated == 0
        check_responses(creator)


async def test_a_stop_during_a_retrys_back_off_ends_it_at_once(stack: Stack) -> None:
    """The model server said 429 and when to come back: the stop does not wait for that, and nobody comes back."""
    prompt = Prompt(model="sim-flaky-429-9", retry_after_s=_LONG_S)
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        assert (await stack.meter.ended(prompt.key)).status == 429
        await stopper.cancel(response_id=response_id)
        response = (await creator.ending(response_id, timeout_s=5))["response"]
        _assert_no_text(response)
        assert await creator.closed() == (1000, "stopped")
        assert len((await stack.meter.read(prompt.key)).requests) == 1
        check_responses(creator)


async def test_a_stop_between_two_tokens_does_not_wait_for_the_next(stack: Stack) -> None:
    """The model stalls in the middle of its answer: the stop closes its connection all the same, the text is kept."""
    prompt = Prompt(model="sim-stall", after=5)
    async with stack.connect(0) as creator, stack.connect(1) as stopper:
        response_id = await creator.start(prompt.body)
        await creator.until(lambda _: creator.text(response_id) == prompt.text(5))
        await stopper.cancel(response_id=response_id)
        response = (await creator.ending(response_id, timeout_s=5))["response"]
        assert response["status"] == "cancelled"
        assert response["output"][0]["content"][0]["text"] == prompt.text(5)
        assert (await stack.meter.ended(prompt.key)).client_closed
        check_responses(creator)
