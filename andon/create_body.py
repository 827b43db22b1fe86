"""Create body: the members of a Responses create that Andon reads or that a Response repeats; others pass as they are.

Owns their types and the rules between them, over either door. Guarantees: every refusal names the member.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from andon.errors import RequestError

LARGEST_NUMBER: Final = 2**53 - 1


class CreateBody(msgspec.Struct):
    """OpenAI's create body: the types that are checked here. Members that are not listed go to the model server."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[dict[str, Any]] | UnsetType | None = UNSET
    instructions: str | list[dict[str, Any]] | UnsetType | None = UNSET
    tools: list[dict[str, Any]] | UnsetType | None = UNSET
    tool_choice: str | dict[str, Any] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    max_output_tokens: Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)] | UnsetType | None = UNSET
    max_tool_calls: Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)] | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    reasoning: dict[str, Any] | UnsetType | None = UNSET
    text: dict[str, Any] | UnsetType | None = UNSET
    truncation: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    safety_identifier: str | UnsetType | None = UNSET
    prompt_cache_key: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    background: bool | UnsetType | None = UNSET
    # `false` is refused by name below: nothing would be generated that could be stopped.
    generate: Annotated[bool, Meta(extra_json_schema={"const": True})] | UnsetType | None = UNSET
    include: list[str] | UnsetType | None = UNSET
    stream_options: dict[str, Any] | UnsetType | None = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET


# What `check_create_body` asks for beyond the types, for the contracts: something to answer.
SOMETHING_ASKED: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "required": ["input"],
            "properties": {"input": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}},
        },
        {"required": ["prompt"], "properties": {"prompt": {"type": "object", "minProperties": 1}}},
        {
            "required": ["previous_response_id"],
            "properties": {"previous_response_id": {"type": "string", "minLength": 1}},
        },
    ]
}


def check_create_body(body: dict[str, Any]) -> None:
    """Check the members of a create body; raises RequestError that names the member."""
    try:
        checked = msgspec.convert(body, CreateBody)
    except msgspec.ValidationError as error:
        raise _named(error) from error
    if body.get("generate") is False:
        message = "`generate: false` is not supported: leave `generate` out."
        raise RequestError("unsupported_parameter", message, param="generate")
    if not checked.input and not checked.prompt and not checked.previous_response_id:
        message = "Give `input`: a text, or a list of input items."
        raise RequestError("missing_required_parameter", message, param="input")


def _named(error: msgspec.ValidationError) -> RequestError:
    """Turn msgspec's message (`Expected ..., got ... - at `$.path``) into one that names the member."""
    what, _, path = str(error).partition(" - at ")
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        name = missing[1]
        return RequestError("missing_required_parameter", f"`{name}` is missing.", param=name)
    param = path.strip("`").removeprefix("$").removeprefix(".")
    return RequestError("invalid_type", f"`{param}`: {what[:1].lower()}{what[1:]}.", param=param or None)
