"""Shape: what the official SDK's own types, and the design, demand of a stream of events.

Owns the strict reading: each event validates against the SDK's model of its type, and what that model does not know
must be one of the listed extensions. Owns the order of a response's events, too. Does not own what is said in them.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pydantic
from openai.types.responses import ResponsesServerEvent

from .client import TERMINAL, Client, Event

# The extensions, by the place they may appear at: everything that Andon adds to the SDK's types.
_EVENT_EXTRAS = frozenset({"response_id", "event_id"})
_CREATED_EXTRAS = frozenset({"session"})
_RESPONSE_EXTRAS = frozenset({"stop"})
_USAGE_EXTRAS = frozenset({"source"})
_ERROR_EXTRAS = frozenset({"retry_after_s"})
_OUR_TYPES = frozenset(
    {"response.cancel.accepted", "response.cancel.done", "response.cancel.failed", "pong", "auth.refreshed"}
)


@cache
def _models() -> dict[str, type[pydantic.BaseModel]]:
    union = get_args(ResponsesServerEvent)[0]
    models: dict[str, type[pydantic.BaseModel]] = {}
    for model in get_args(union):
        annotation = model.model_fields["type"].annotation
        assert get_origin(annotation) is Literal
        for name in get_args(annotation):
            models[name] = model
    return models


@cache
def _adapter(type_: str) -> "pydantic.TypeAdapter[pydantic.BaseModel]":
    return pydantic.TypeAdapter(_models()[type_])


def check_frame(frame: str, event: Event) -> None:
    """Assert that one event is what the SDK's types say, but for the listed extensions."""
    if event["type"] in _OUR_TYPES:
        return
    assert event["type"] in _models(), f"the SDK knows no {event['type']}"
    model = _adapter(event["type"]).validate_json(frame, strict=True)
    unknown = sorted(path for path in _extras(model, "") if not _is_listed(path, event["type"]))
    assert not unknown, f"{event['type']} has members that the SDK does not know: {unknown}: {frame[:2000]}"


def _is_listed(path: str, type_: str) -> bool:
    home, _, name = path.rpartition(".")
    match home:
        case "":
            return name in _EVENT_EXTRAS or (type_ == "response.created" and name in _CREATED_EXTRAS)
        case ".error" if type_ == "error":
            return name in _ERROR_EXTRAS
        case ".response":
            return name in _RESPONSE_EXTRAS
        case ".response.usage":
            return name in _USAGE_EXTRAS
        case _:
            return False


def _extras(value: Any, path: str) -> Iterator[str]:
    """Walk what was validated for members that the models do not have."""
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or ():
            yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from _extras(member, f"{path}[]")


def check_order(events: list[Event]) -> None:
    """Assert the order of one whole response: numbers without gap, the two openings, one ending, the text as told."""
    types = [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert types[0] == "response.created"
    assert [type_ for type_ in types if type_ in TERMINAL] == types[-1:], types
    ending = events[-1]["response"]
    assert all(event["response"]["id"] == events[0]["response_id"] for event in events if "response" in event)
    if len(types) > 2:  # a response that was stopped, or failed, before its claim has no more
        assert types[1] == "response.in_progress"
    assert types.count("response.created") == 1
    assert types.count("response.in_progress") <= 1
    if ending["status"] == "cancelled":
        assert not [type_ for type_ in types if type_.endswith(".done")]
    assert ending["usage"]["source"] in {"upstream", "estimated"}
    _check_text(events, ending)


def _check_text(events: list[Event], ending: dict[str, Any]) -> None:
    """Assert that the output holds exactly the text of the deltas."""
    told = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    parts = (part for item in ending["output"] for part in item.get("content") or ())
    held = "".join(part["text"] for part in parts if part["type"] == "output_text")
    assert held == told


def check_responses(client: Client, *, ended: Iterable[str] | None = None) -> None:
    """Assert all of this of everything that a client got; `ended`: the responses that are whole (all, if not given)."""
    for frame, event in zip(client.frames, client.events, strict=True):
        check_frame(frame, event)
    for response_id in client.response_ids() if ended is None else ended:
        check_order(client.of(response_id))
