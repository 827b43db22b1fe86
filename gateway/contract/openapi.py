"""OpenAPI: the document of the HTTP door (OpenAPI 3.1), from the operations that the routes carry.

Owns its shape. Does not own what an operation takes and answers: that is declared beside its route.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from starlette.routing import BaseRoute

import andon
from andon.errors import AndonError
from andon.events import ErrorAnswer
from andon.member import Member
from gateway.contract.operation import ALWAYS_REFUSED, Answer, Operation, OperationRoute
from gateway.contract.schemas import Schema, Schemas, all_of
from gateway.contract.security import HTTP_SCHEMES
from gateway.http.event_stream import RESPONSE_HEADER

_JSON: Final = "application/json"
_RETRIED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_ABOUT: Final = (
    "OpenAI's Responses API and Chat Completions over jobs that can be stopped from anywhere. Objects are open: "
    "members that are not listed here are OpenAI's, or the model server's, and pass as they are."
)


def openapi(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Build the document of these routes."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, OperationRoute):
            path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _operation(route.operation, schemas)
    components: dict[str, Any] = {"schemas": dict(sorted(schemas.components.items()))}
    if HTTP_SCHEMES:
        components["securitySchemes"] = HTTP_SCHEMES
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Andon",
            "version": andon.__version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
        "security": [{name: []} for name in HTTP_SCHEMES],
    }


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    places = (("path", operation.path_members), ("query", operation.query), ("header", operation.headers))
    answers = {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
    refused = {*operation.refusals, *ALWAYS_REFUSED} - operation.answers.keys()
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.meaning,
        "parameters": [_parameter(member, place, schemas) for place, members in places for member in members],
        "responses": answers | {str(status): _refusal(status, schemas) for status in sorted(refused)},
    }
    if operation.has_body:
        described["requestBody"] = {
            # No body is an empty object.
            "required": operation.body_type is not None or bool(operation.body_rules),
            "content": {_JSON: {"schema": _body(operation, schemas)}},
        }
    if operation.is_open:
        described["security"] = []
    return described


def _body(operation: Operation, schemas: Schemas) -> Schema:
    parts = [] if operation.body_type is None else [schemas.of(operation.body_type)]
    if operation.body:
        parts.append(schemas.members(operation.body))
    return all_of(*parts, *operation.body_rules)


def _parameter(member: Member[Any], place: str, schemas: Schemas) -> dict[str, Any]:
    return {
        "name": member.name,
        "in": place,
        "description": member.meaning,
        "required": place == "path" or member.is_required,
        "schema": schemas.of(member.type),
    }


def _answer(answer: Answer, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.meaning}
    content: dict[str, Any] = {} if answer.type is None else {_JSON: {"schema": schemas.of(answer.type)}}
    if answer.is_stream:
        content["text/event-stream"] = {}  # OpenAPI 3.1 has no word for the events of a stream
    if content:
        described["content"] = content
    if answer.has_response_id:
        described["headers"] = {
            RESPONSE_HEADER: {"description": "The id of the response.", "schema": {"type": "string"}}
        }
    return described


def _refusal(status: int, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": _STATUSES[status],
        "content": {_JSON: {"schema": schemas.of(ErrorAnswer)}},
    }
    if status in _RETRIED:
        described["headers"] = {
            "Retry-After": {"description": "Seconds until a repeat.", "schema": {"type": "integer", "minimum": 1}}
        }
    return described


def _meanings(root: type[AndonError]) -> dict[int, list[str]]:
    """Tell what each status means, from the tree of errors."""
    found: dict[int, list[str]] = {}
    waiting: list[type[AndonError]] = [root]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if "status" in vars(kind):
            found.setdefault(int(kind.status), []).append((kind.__doc__ or "").partition("\n")[0])  # type: ignore[attr-defined]
    return found


_STATUSES: Final = {status: " ".join(meanings) for status, meanings in _meanings(AndonError).items()} | {
    int(HTTPStatus.BAD_GATEWAY): "The response failed: the model server, or what lies before it.",
}
