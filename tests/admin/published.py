"""Published: what operators are told, held against the contracts of docs/."""

from pathlib import Path
from typing import Any, Final

import httpx2
import jsonschema
import msgspec
from starlette.routing import compile_path

_DOCS: Final = Path(__file__).parents[2] / "docs"
_OPENAPI: Final = msgspec.json.decode((_DOCS / "openapi.json").read_bytes())
_ASYNCAPI: Final = msgspec.json.decode((_DOCS / "asyncapi.json").read_bytes())
_PATHS: Final = {path: compile_path(path)[0] for path in _OPENAPI["paths"]}
_MESSAGES: Final = {
    name: jsonschema.Draft7Validator({"allOf": [message["payload"]], "components": _ASYNCAPI["components"]})
    for name, message in _ASYNCAPI["components"]["messages"].items()
}


async def check_answer(answer: httpx2.Response) -> None:
    """Hold a JSON answer against what its operation publishes for this status."""
    if answer.headers.get("content-type") != "application/json":
        return
    await answer.aread()
    path = next(path for path, matcher in _PATHS.items() if matcher.match(answer.request.url.path))
    responses = _OPENAPI["paths"][path][answer.request.method.lower()]["responses"]
    schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    document = {"allOf": [schema], "components": _OPENAPI["components"]}
    jsonschema.Draft202012Validator(document).validate(answer.json())


def check_message(message: dict[str, Any]) -> None:
    """Hold a message of the feed against what is published of its type."""
    _MESSAGES[message["type"]].validate(message)
