"""What one request asks of the sim: both APIs' bodies, read into one shape.

Owns reading and checking a body. Does not own the answer. Guarantees: what it lets through can be answered; what it
refuses raises `SimError` 400 that names the parameter.

Beside the API's own fields, `metadata` steers the sim. Its values are strings, as OpenAI's API wants them:

| key | meaning | default |
|---|---|---|
| `sim_tokens` | natural length of the answer, in tokens | the server's |
| `sim_rate` | tokens a second; 0 is as fast as possible | the model's, else the server's |
| `sim_ttft` | seconds to the first token | the server's |
| `sim_seed` | seed mixed with the prompt | the server's |
| `sim_after` | tokens before a fault strikes | 16, or half the answer if that is less |
| `sim_retry_after` | `Retry-After` of a 429, sent as it is | 1 |
| `sim_key` | names the request in the meter, and for `sim-flaky-N` | none |
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from andon.sim.errors import SimError
from andon.sim.faults import Behaviour, Ending, behaviour
from andon.sim.options import SimOptions
from andon.sim.text import seed_of

Api: TypeAlias = Literal["responses", "chat"]
T = TypeVar("T", int, float)

_FAULT_AFTER_TOKENS = 16  # enough to see a stream run, few enough for a quick test

_MOST = 1_000_000


class Ask(msgspec.Struct, frozen=True):
    """One request, understood."""

    api: Api
    model: str
    behaviour: Behaviour
    stream: bool
    # All text of the input in order, instructions first; it decides the answer.
    prompt: str
    seed: int
    # Tokens the answer would have, and tokens it may have.
    natural: int
    limit: int | None
    rate: float
    ttft_s: float
    # Tokens after which a fault strikes.
    after: int
    retry_after: str
    # What the first N requests of `sim-flaky-N` have in common.
    key: str
    include_usage: bool
    continuous_usage: bool
    # The request as it came, for the fields an answer repeats.
    body: dict[str, Any]

    @property
    def n(self) -> int:
        """Tokens the answer will have."""
        return self.natural if self.limit is None else min(self.natural, self.limit)

    @property
    def input_tokens(self) -> int:
        """What the prompt is billed as: a word is a token, here too."""
        return len(self.prompt.split())


def decode(raw: bytes) -> dict[str, Any]:
    """Read the JSON object a request must be."""
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise SimError(
            400, f"We could not parse the JSON body of your request: {error}", code="invalid_json"
        ) from error
    if not isinstance(body, dict):
        raise SimError(400, "The body must be a JSON object.", code="invalid_json")
    return body


def metadata(body: dict[str, Any]) -> dict[str, str]:
    """Read a request's metadata, numbers taken for their digits; of any other shape, none."""
    given = body.get("metadata")
    return {str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else {}


def prompt(body: dict[str, Any]) -> str:
    """Join all text of the input, instructions first, so that both APIs' forms of one conversation are one prompt."""
    sources = (body.get("instructions"), body.get("input"), body.get("messages"))
    return "\n".join(text for source in sources for text in _texts(source))


def ask(body: dict[str, Any], api: Api, options: SimOptions) -> Ask:
    """Understand a request. Raises `SimError` for one that cannot be answered."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise SimError(400, "You must provide a model parameter.", code="missing_required_parameter", param="model")
    found = behaviour(model)
    if found is None:
        raise SimError(404, f"The model '{model}' does not exist. GET /v1/models lists those that do.", param="model")
    _check_input(body, api)
    meta = metadata(body)
    said = prompt(body)
    # A fault strikes after some tokens, so there has to be one.
    least = 0 if found.ending is Ending.WHOLE else 1
    natural = max(least, _number(meta, "sim_tokens", int, options.tokens))
    limit = _limit(body, api) if found.keeps_limit else None
    length = natural if limit is None else min(natural, limit)
    stream_options = body.get("stream_options") or {}
    include_usage = stream_options.get("include_usage") is True
    return Ask(
        api=api,
        model=model,
        behaviour=found,
        stream=body.get("stream") is True,
        prompt=said,
        seed=seed_of(said, _number(meta, "sim_seed", int, options.seed)),
        natural=natural,
        limit=limit,
        rate=_number(meta, "sim_rate", float, options.rate if found.rate is None else found.rate),
        ttft_s=_number(meta, "sim_ttft", float, options.ttft_s),
        after=min(length, _number(meta, "sim_after", int, min(_FAULT_AFTER_TOKENS, (length + 1) // 2))),
        retry_after=meta.get("sim_retry_after", "1"),
        key=meta.get("sim_key", said),
        include_usage=include_usage,
        # As in vLLM: it does nothing without include_usage.
        continuous_usage=include_usage and stream_options.get("continuous_usage_stats") is True,
        body=body,
    )


def _check_input(body: dict[str, Any], api: Api) -> None:
    field = "input" if api == "responses" else "messages"
    given = body.get(field)
    if given is None:
        raise SimError(400, f"Missing required parameter: '{field}'.", code="missing_required_parameter", param=field)
    if not isinstance(given, list) and not (api == "responses" and isinstance(given, str)):
        raise SimError(400, f"Invalid type for '{field}'.", code="invalid_type", param=field)
    if not isinstance(body.get("stream_options") or {}, dict):
        raise SimError(400, "Invalid type for 'stream_options'.", code="invalid_type", param="stream_options")
    previous = body.get("previous_response_id")
    if previous is not None:
        # The sim keeps no conversations, so every id is unknown to it.
        raise SimError(
            400,
            f"Previous response with id '{previous}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )


def _limit(body: dict[str, Any], api: Api) -> int | None:
    names = ("max_output_tokens",) if api == "responses" else ("max_completion_tokens", "max_tokens")
    for name in names:
        given = body.get(name)
        if given is None:
            continue
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise SimError(400, f"'{name}' must be an integer of at least 1.", code="invalid_value", param=name)
        return given
    return None


def _number(meta: dict[str, str], name: str, kind: Callable[[str], T], default: T) -> T:
    """Read a number from zero to a million: no answer is longer, and no wait either."""
    given = meta.get(name)
    if given is None:
        return default
    value: T | None
    try:
        value = kind(given)
    except ValueError:
        value = None
    if value is None or not 0 <= value <= _MOST:
        raise SimError(
            400,
            f"metadata.{name} must be a number from 0 to {_MOST}, as a string.",
            code="invalid_value",
            param=f"metadata.{name}",
        )
    return value


def _texts(source: object) -> Iterator[str]:
    """Walk an input of any shape for its text: strings, `content`, `text`, `output` and `arguments`, in order."""
    if isinstance(source, str):
        yield source
    elif isinstance(source, list):
        for part in source:
            yield from _texts(part)
    elif isinstance(source, dict):
        for name in ("content", "text", "refusal", "output", "arguments", "tool_calls", "function"):
            yield from _texts(source.get(name))
