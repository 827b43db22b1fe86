from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseUsage

from andon.usage import NO_REQUEST, Usage, count_tokens, estimate, from_upstream

counts = st.integers(min_value=0, max_value=10**9)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    source=st.just("upstream"),
    cached_tokens=counts,
    cache_write_tokens=counts,
    reasoning_tokens=counts,
)


@given(usages)
def test_usage_goes_out_whole_and_is_read_back(usage: Usage) -> None:
    """All the details that the SDK's model demands, the total, and the source."""
    wire = usage.to_wire()
    assert wire["total_tokens"] == usage.input_tokens + usage.output_tokens
    ResponseUsage.model_validate(wire, strict=True)
    assert from_upstream(wire) == usage


@pytest.mark.parametrize("wire", [{}, {"input_tokens": None, "output_tokens_details": None}])
def test_an_upstream_that_tells_little_is_read_as_zero(wire: dict[str, Any]) -> None:
    """A server that leaves details out is no reason to fail."""
    assert from_upstream(wire) == NO_REQUEST


def test_no_request_costs_nothing_and_the_upstream_is_its_source() -> None:
    """Where no request was made, zero is exact."""
    assert NO_REQUEST.to_wire()["total_tokens"] == 0
    assert NO_REQUEST.source == "upstream"


def test_tokens_are_counted_under_o200k() -> None:
    """Known counts of a known encoding; no text, no tokens."""
    assert count_tokens("") == 0
    assert count_tokens("hello world") == 2
    assert count_tokens("antidisestablishmentarianism") > 1


def test_an_estimate_counts_the_texts_of_the_request_and_of_the_output() -> None:
    """Instructions and nested input count; ids, types and image data are no prompt."""
    plain = estimate({"input": "hello world"}, "hello world")
    assert (plain.input_tokens, plain.output_tokens, plain.source) == (2, 2, "estimated")
    nested = {
        "instructions": "hello world",
        "input": [
            {"type": "message", "id": "x" * 500, "content": [{"type": "input_text", "text": "hello world"}]},
            {"type": "input_image", "image_url": "data:" + "A" * 1000},
        ],
    }
    assert estimate(nested, "").input_tokens == count_tokens("hello world\nhello world")


@given(st.text(max_size=50))
def test_any_text_can_be_counted(text: str) -> None:
    """A stop never fails for what the model said."""
    assert 0 <= count_tokens(text) <= len(text.encode())
