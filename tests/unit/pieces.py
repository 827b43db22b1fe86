"""Whole outputs as a model might speak them: hypothesis strategies for streams of pieces."""

from typing import Any

from hypothesis import strategies as st

from andon.pieces import Delta, Event

texts = st.text(max_size=12)


def _grow(kind: str, item: str, index: int, part: tuple[Any, int] | None, pieces: list[str]) -> list[Delta | Event]:
    return [Delta(kind, item, index, part, text) for text in pieces]


def message(index: int, pieces: list[str], refusal: list[str], notes: int) -> list[Delta | Event]:
    """Speak a message of a text part with annotations, and a refusal part."""
    item, text = f"msg_{index}", "".join(pieces)
    where = {"item_id": item, "output_index": index}
    shell = {"type": "message", "id": item, "role": "assistant", "status": "in_progress", "content": []}
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    full = {**part, "text": text, "annotations": [note] * notes}
    no = {"type": "refusal", "refusal": ""}
    said = {"type": "refusal", "refusal": "".join(refusal)}
    return [
        Event("response.output_item.added", {"output_index": index, "item": shell}),
        Event("response.content_part.added", {**where, "content_index": 0, "part": part}),
        *_grow("response.output_text.delta", item, index, ("content_index", 0), pieces),
        *(
            Event(
                "response.output_text.annotation.added",
                {**where, "content_index": 0, "annotation_index": number, "annotation": note},
            )
            for number in range(notes)
        ),
        Event("response.output_text.done", {**where, "content_index": 0, "text": text, "logprobs": []}),
        Event("response.content_part.done", {**where, "content_index": 0, "part": full}),
        Event("response.content_part.added", {**where, "content_index": 1, "part": no}),
        *_grow("response.refusal.delta", item, index, ("content_index", 1), refusal),
        Event("response.content_part.done", {**where, "content_index": 1, "part": said}),
        Event(
            "response.output_item.done",
            {"output_index": index, "item": {**shell, "status": "completed", "content": [full, said]}},
        ),
    ]


def reasoning(index: int, pieces: list[str], summary: list[str], _: int) -> list[Delta | Event]:
    """Think: a summary part and a text part."""
    item = f"rs_{index}"
    where = {"item_id": item, "output_index": index}
    shell = {"type": "reasoning", "id": item, "status": "in_progress", "summary": [], "content": []}
    short = {"type": "summary_text", "text": "".join(summary)}
    long = {"type": "reasoning_text", "text": "".join(pieces)}
    return [
        Event("response.output_item.added", {"output_index": index, "item": shell}),
        Event(
            "response.reasoning_summary_part.added",
            {**where, "summary_index": 0, "part": {"type": "summary_text", "text": ""}},
        ),
        *_grow("response.reasoning_summary_text.delta", item, index, ("summary_index", 0), summary),
        Event("response.reasoning_summary_part.done", {**where, "summary_index": 0, "part": short}),
        Event(
            "response.content_part.added",
            {**where, "content_index": 0, "part": {"type": "reasoning_text", "text": ""}},
        ),
        *_grow("response.reasoning_text.delta", item, index, ("content_index", 0), pieces),
        Event(
            "response.output_item.done",
            {"output_index": index, "item": {**shell, "status": "completed", "summary": [short], "content": [long]}},
        ),
    ]


def call(index: int, pieces: list[str], _: list[str], __: int) -> list[Delta | Event]:
    """Call a function, its arguments in pieces."""
    item, arguments = f"fc_{index}", "".join(pieces)
    shell = {"type": "function_call", "id": item, "call_id": f"call_{index}", "name": "f", "status": "in_progress"}
    return [
        Event("response.output_item.added", {"output_index": index, "item": {**shell, "arguments": ""}}),
        *_grow("response.function_call_arguments.delta", item, index, None, pieces),
        Event(
            "response.function_call_arguments.done",
            {"item_id": item, "output_index": index, "name": "f", "arguments": arguments},
        ),
        Event(
            "response.output_item.done",
            {"output_index": index, "item": {**shell, "status": "completed", "arguments": arguments}},
        ),
    ]


@st.composite
def outputs(draw: st.DrawFn) -> list[Delta | Event]:
    """Draw a whole output: items one after another, or interleaved."""
    pieces = st.lists(texts, max_size=5)
    kinds = draw(st.lists(st.sampled_from([message, reasoning, call]), min_size=1, max_size=3))
    items = [
        kind(index, draw(pieces), draw(pieces), draw(st.integers(min_value=0, max_value=2)))
        for index, kind in enumerate(kinds)
    ]
    if not draw(st.booleans()):
        return [piece for item in items for piece in item]
    woven: list[Delta | Event] = []
    while any(items):
        woven.append(draw(st.sampled_from([item for item in items if item])).pop(0))
    return woven


@st.composite
def cut_outputs(draw: st.DrawFn) -> list[Delta | Event]:
    """Draw an output that was cut somewhere."""
    whole = draw(outputs())
    return whole[: draw(st.integers(min_value=0, max_value=len(whole)))]
