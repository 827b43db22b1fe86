"""The published documents are what their standards call valid, and say all that the code does, and no more."""

import hashlib
from pathlib import Path
from typing import Any, Final, get_args

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from andon import protocol
from andon.closecodes import CloseCode
from andon.settings import Settings
from gateway.app import Gateway, create_app
from gateway.contract.operation import OperationRoute
from gateway.pages.door import PageRoute

_VENDOR: Final = Path(__file__).parent / "vendor"


@pytest.fixture(scope="module")
def app() -> Starlette:
    """Build the app over a gateway that is not open: it needs no Redis."""
    return create_app(Gateway(Settings()))


@pytest.fixture(scope="module")
def openapi(app: Starlette) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(app.state.contract.openapi)
    return document


@pytest.fixture(scope="module")
def asyncapi(app: Starlette) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(app.state.contract.asyncapi)
    return document


def test_the_http_document_is_valid_openapi(openapi: dict[str, Any]) -> None:
    """By OpenAPI's own schema of version 3.1, and every reference leads somewhere."""
    OpenAPIV31SpecValidator(openapi).validate()


def test_the_socket_document_is_valid_asyncapi(asyncapi: dict[str, Any]) -> None:
    """By AsyncAPI's own schema of version 3.0.0, which is vendored as it was published."""
    text = (_VENDOR / "asyncapi-3.0.0.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() in (_VENDOR / "README.md").read_text(encoding="utf-8")
    jsonschema.Draft7Validator(msgspec.json.decode(text)).validate(asyncapi)


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(name: str, request: pytest.FixtureRequest) -> None:
    """A `$ref` within the document names what is there."""
    document = request.getfixturevalue(name)
    references = list(_references(document))
    assert references
    for reference in references:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            assert value.keys() == {"$ref"}, "draft 7 does not see what is beside a $ref"
            yield value["$ref"]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def test_every_route_is_in_the_http_document_and_nothing_else(app: Starlette, openapi: dict[str, Any]) -> None:
    """A route that is declared without a description, and a description without a route, are found here."""
    routed = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in app.routes
        if isinstance(route, Route) and not isinstance(route, PageRoute)
        for method in (route.methods or set()) - {"HEAD"}  # every GET has it
    }
    assert {(path, method) for path, methods in openapi["paths"].items() for method in methods} == routed
    # What a page is made of lies below a mount.
    assert all(isinstance(route, OperationRoute | WebSocketRoute | PageRoute | Mount) for route in app.routes)


def test_every_operation_has_an_id_of_its_own(openapi: dict[str, Any]) -> None:
    """Generators of clients name their functions by it."""
    ids = [operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


def test_every_socket_is_a_channel(app: Starlette, asyncapi: dict[str, Any]) -> None:
    """As many WebSocket routes as channels, at the same paths."""
    sockets = {route.path for route in app.routes if isinstance(route, WebSocketRoute)}
    assert {channel["address"] for channel in asyncapi["channels"].values()} == sockets


def test_every_command_of_the_protocol_is_in_the_socket_document(asyncapi: dict[str, Any]) -> None:
    """Each type of frame that the parser knows is received by an operation with a message of that name."""
    received = {
        asked["messages"][0]["$ref"].rpartition("/")[2]
        for asked in asyncapi["operations"].values()
        if asked["action"] == "receive"
    }
    assert received == set(protocol.FRAMES)
    assert len(protocol.FRAMES) == len(get_args(protocol.Command))


def test_every_close_code_is_in_the_socket_document(asyncapi: dict[str, Any]) -> None:
    """The table of why a socket ends is published with it."""
    (channel,) = asyncapi["channels"].values()
    assert set(channel["x-close-codes"]) == {str(int(code)) for code in CloseCode}
