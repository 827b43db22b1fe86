"""Operation: what a route takes and answers, declared beside it.

Owns the declaration, and the route that carries it. `GET /openapi.json` is made from the routes of the app, so a new
endpoint is published by declaring its route with `operation(...)`, in the list where it would be a `Route` anyway.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from andon.member import Member

# What any operation may answer beside its own: our own failure, and Redis away.
ALWAYS_REFUSED: Final = (500, 503)


class Answer(msgspec.Struct, frozen=True):
    """What a status means. `type` is that of the JSON, None where there is no body that the contract describes."""

    meaning: str
    type: Any = None
    # Server-sent events may come instead of the JSON.
    is_stream: bool = False
    # It is about one response, whose id is in a header.
    has_response_id: bool = False


class Operation(msgspec.Struct, frozen=True):
    """What one method of one path does."""

    id: str
    meaning: str
    answers: dict[int, Answer]
    # Statuses of refusals: each is the JSON error of `andon.errors`.
    refusals: tuple[int, ...] = ()
    path_members: tuple[Member[Any], ...] = ()
    query: tuple[Member[Any], ...] = ()
    headers: tuple[Member[Any], ...] = ()
    # JSON members of the body that are the gateway's own, and the type or schema of the whole.
    body: tuple[Member[Any], ...] = ()
    body_type: Any = None
    body_rules: tuple[dict[str, Any], ...] = ()
    # Whether anybody may ask: no security scheme applies.
    is_open: bool = False

    @property
    def has_body(self) -> bool:
        """Whether it reads a body."""
        return bool(self.body) or self.body_type is not None or bool(self.body_rules)


class OperationRoute(Route):
    """A route that says what it does."""

    def __init__(self, method: str, path: str, endpoint: Callable[..., Any], described: Operation) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.method = method
        self.operation = described


def operation(
    method: str,
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    id_: str,
    meaning: str,
    *,
    answers: dict[int, Answer],
    refusals: tuple[int, ...] = (),
    **takes: Any,
) -> OperationRoute:
    """Route a method of a path to its endpoint, with its description; `takes`: further fields of `Operation`."""
    return OperationRoute(method, path, endpoint, Operation(id_, meaning, answers, refusals, **takes))
