"""Bounds: what one create may ask for, as this gateway is set.

Owns the bounds of a create that are not counted against others: the bytes of its input, the tokens of its output, the
time until its end. Does no I/O. Guarantees: what is refused names the member and the bound; where a create leaves a
bounded member out, it gets the bound.
"""

from typing import Any, Final

from andon.errors import RequestError
from andon.frames import encode
from andon.protocol import Create
from andon.settings import Settings

# What a model is to read. Stored turns were bounded when they were created.
_INPUT: Final = ("input", "instructions", "tools", "prompt")


def check_bounds(create: Create, settings: Settings) -> None:
    """Refuse a create that asks for more than is allowed. Raises RequestError."""
    _check_input(create.body, settings.max_input_bytes)
    _check_output(create.body, settings.max_output_tokens)
    if settings.deadline_s and create.deadline_s is not None and create.deadline_s > settings.deadline_s:
        message = f"`deadline_s`: at most {settings.deadline_s:g} s are allowed (ANDON_DEADLINE_S)."
        raise RequestError("deadline_too_long", message, param="deadline_s")


def _check_input(body: dict[str, Any], most_bytes: int) -> None:
    if not most_bytes:
        return
    sizes = {name: len(encode(body[name])) for name in _INPUT if body.get(name) is not None}
    all_bytes = sum(sizes.values())
    if all_bytes > most_bytes:
        largest = max(sizes, key=sizes.__getitem__)
        message = (
            f"`{largest}`: the input has {all_bytes} bytes as JSON, and {most_bytes} are allowed "
            "(ANDON_MAX_INPUT_BYTES). Send less, or go on from a stored turn by `previous_response_id`."
        )
        raise RequestError("too_many_input_bytes", message, param=largest)


def _check_output(body: dict[str, Any], most_tokens: int) -> None:
    asked = body.get("max_output_tokens")
    if most_tokens and asked is not None and asked > most_tokens:
        message = f"`max_output_tokens`: at most {most_tokens} are allowed (ANDON_MAX_OUTPUT_TOKENS)."
        raise RequestError("too_many_output_tokens", message, param="max_output_tokens")


def within_bounds(body: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the create body as it goes to the model: with the bound where the client gave none."""
    if not settings.max_output_tokens or body.get("max_output_tokens") is not None:
        return body
    return {**body, "max_output_tokens": settings.max_output_tokens}
