"""The plan of an answer: which items and parts it has, and the tokens of each, before either API's wire form.

Owns how many tokens go where, and where a length limit cuts. Does not own events, chunks or time.

Guarantees: the tokens of all parts together are exactly `ask.n`; those of the message are the first of the seed's
text, so a test can compute them; a part without tokens is not there.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from andon.sim.ask import Ask
from andon.sim.faults import Voice
from andon.sim.text import fat_tokens, tokens, wide_tokens

PartKind: TypeAlias = Literal["summary", "reasoning_text", "text", "refusal", "arguments"]


class Part(msgspec.Struct, frozen=True):
    """A run of tokens of one kind."""

    kind: PartKind
    pieces: Sequence[str]

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(self.pieces)


class Item(msgspec.Struct, frozen=True):
    """An output item. `complete` is false for the one in which the length limit cut."""

    kind: Literal["reasoning", "message", "function_call"]
    parts: tuple[Part, ...]
    complete: bool = True
    # The function called; empty for the others.
    name: str = ""


class Plan(msgspec.Struct, frozen=True):
    """All there is to say. `cut` says that the length limit came before the natural end."""

    items: tuple[Item, ...]
    cut: bool

    @property
    def reasoning_tokens(self) -> int:
        """The tokens billed as reasoning."""
        return sum(len(part.pieces) for item in self.items if item.kind == "reasoning" for part in item.parts)


def plan(ask: Ask) -> Plan:
    """Lay out the natural answer, then cut it to the limit."""
    return Plan(items=_cut(_natural(ask), ask.n), cut=ask.n < ask.natural)


def _natural(ask: Ask) -> list[Item]:
    n, seed = ask.natural, ask.seed
    match ask.behaviour.voice:
        case Voice.REASONING:
            return _reasoned(seed, n)
        case Voice.MULTI if ask.api == "responses":
            half = n - n // 2
            return [
                _item("message", Part("text", tokens(seed, half))),
                _item("message", Part("text", tokens(seed + 1, n - half))),
            ]
        case Voice.TOOLS:
            first, second = _functions(ask.body)
            half = n - n // 2
            return [
                _item("function_call", Part("arguments", _arguments(seed, half)), name=first),
                _item("function_call", Part("arguments", _arguments(seed + 1, n - half)), name=second),
            ]
        case voice:
            pieces = {Voice.WIDE: wide_tokens, Voice.FAT: fat_tokens}.get(voice, tokens)(seed, n)
            return [_item("message", Part("refusal" if voice is Voice.REFUSAL else "text", pieces))]


def _item(kind: Literal["reasoning", "message", "function_call"], *parts: Part, name: str = "") -> Item:
    return Item(kind=kind, parts=parts, name=name)


def _reasoned(seed: int, n: int) -> list[Item]:
    """Think for a quarter of the answer, half of it as summary; an answer of one or two tokens needs no thought."""
    thought = max(2, n // 4) if n > 2 else 0  # noqa: PLR2004 - said above
    summary = thought - thought // 2
    return [
        _item(
            "reasoning",
            Part("summary", tokens(seed + 1, summary)),
            Part("reasoning_text", tokens(seed + 2, thought - summary)),
        ),
        _item("message", Part("text", tokens(seed, n - thought))),
    ]


def _arguments(seed: int, n: int) -> Sequence[str]:
    """Make the arguments of a call in exactly `n` tokens: a JSON object, if they are not cut."""
    if n < 2:  # noqa: PLR2004 - an object with a member has two ends, and each is a token
        return ("{}",) * n
    return ('{"note":"', *tokens(seed, n - 2), '"}')


def _functions(body: dict[str, Any]) -> tuple[str, str]:
    """Call the first two functions the request offers (both APIs' forms), the only one twice, or two of our own."""
    given = body.get("tools")
    tools = [tool for tool in given if isinstance(tool, dict)] if isinstance(given, list) else []
    names = [name for tool in tools if isinstance(name := (tool.get("function") or tool).get("name"), str)]
    names = names or ["get_weather", "get_time"]
    return names[0], names[1] if len(names) > 1 else names[0]


def _cut(items: list[Item], budget: int) -> tuple[Item, ...]:
    kept: list[Item] = []
    for item in items:
        parts: list[Part] = []
        complete = True
        for part in item.parts:
            pieces = part.pieces[:budget]
            budget -= len(pieces)
            complete = complete and len(pieces) == len(part.pieces)
            if pieces:
                parts.append(Part(part.kind, pieces))
        if parts:
            kept.append(msgspec.structs.replace(item, parts=tuple(parts), complete=complete))
    return tuple(kept)
