"""Usage: what a response cost, from the upstream where it told, else counted here.

Owns the shape of `response.usage` (OpenAI's fields plus `source`) and the local count. The count uses the o200k
encoding offline (`rs-bpe`); it is an estimate for any other tokenizer and says so by its source.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

import msgspec

from andon.events import UsageObject


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one response."""

    input_tokens: int
    output_tokens: int
    source: Literal["upstream", "estimated"]
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def to_wire(self) -> UsageObject:
        """Shape as `response.usage` with all the details that the SDK's models demand."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {
                "cached_tokens": self.cached_tokens,
                "cache_write_tokens": self.cache_write_tokens,
            },
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.input_tokens + self.output_tokens,
            "source": self.source,
        }


NO_REQUEST = Usage(input_tokens=0, output_tokens=0, source="upstream")


def from_upstream(wire: Mapping[str, Any]) -> Usage:
    """Read the usage that an upstream told, in OpenAI's Responses shape."""
    inputs = wire.get("input_tokens_details") or {}
    outputs = wire.get("output_tokens_details") or {}
    return Usage(
        input_tokens=int(wire.get("input_tokens") or 0),
        output_tokens=int(wire.get("output_tokens") or 0),
        source="upstream",
        cached_tokens=int(inputs.get("cached_tokens") or 0),
        cache_write_tokens=int(inputs.get("cache_write_tokens") or 0),
        reasoning_tokens=int(outputs.get("reasoning_tokens") or 0),
    )


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


@lru_cache(maxsize=1)
def _tokenizer() -> _Tokenizer:
    """Load the encoding once, on first need: most processes never stop anything, and it costs some 100 ms."""
    from rs_bpe.bpe import openai  # noqa: PLC0415  loading it at import would slow every start of every command

    return cast("_Tokenizer", openai.o200k_base())


def warm() -> None:
    """Load the encoding now: a worker does so at its start, so that the first stop does not pay for it."""
    _tokenizer()


def count_tokens(text: str) -> int:
    """Count the tokens of a text under o200k."""
    return _tokenizer().count(text) if text else 0


def estimate(request: dict[str, Any], output_text: str) -> Usage:
    """Count the usage of a response whose upstream did not tell: the request's texts, and all text received."""
    return Usage(
        input_tokens=count_tokens("\n".join(_texts(request.get("instructions"), request.get("input")))),
        output_tokens=count_tokens(output_text),
        source="estimated",
    )


def _texts(*values: Any) -> Iterator[str]:
    """Yield every text of an input, whatever its nesting; ids, types and image data are no prompt text."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _texts(*value)
        elif isinstance(value, dict):
            yield from _texts(*(value.get(name) for name in ("text", "content", "output", "arguments", "refusal")))
