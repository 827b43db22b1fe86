"""Contract door: `GET /openapi.json` and `GET /asyncapi.json`.

Guarantees: what is served is what docs/ holds, byte for byte: neither depends on settings.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from andon.member import Member
from gateway.contract.asyncapi import asyncapi
from gateway.contract.openapi import openapi
from gateway.contract.operation import Answer, OperationRoute, operation

_ANSWERS: Final = {200: Answer("The document.", dict[str, Any])}


class ContractDoor:
    """Serves both documents."""

    def __init__(self, handshake: tuple[Member[Any], ...]) -> None:
        self._handshake = handshake
        # Made once, by `publish`: at the start, not at a request.
        self.openapi = b""
        self.asyncapi = b""

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [
            operation(
                "GET", "/openapi.json", self._openapi, "openapi", "This document.",
                answers=_ANSWERS, is_open=True,
            ),
            operation(
                "GET", "/asyncapi.json", self._asyncapi, "asyncapi", "The same for the WebSocket.",
                answers=_ANSWERS, is_open=True,
            ),
        ]  # fmt: skip

    def publish(self, routes: Iterable[BaseRoute]) -> None:
        """Make the documents, of all routes of the app."""
        self.openapi = document(openapi(routes))
        self.asyncapi = document(asyncapi(self._handshake))

    async def _openapi(self, _: Request) -> Response:
        return Response(self.openapi, media_type="application/json")

    async def _asyncapi(self, _: Request) -> Response:
        return Response(self.asyncapi, media_type="application/json")


def document(value: dict[str, Any]) -> bytes:
    """Write a document for people and diffs."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
