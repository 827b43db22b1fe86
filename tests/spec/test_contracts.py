"""The contracts are served by every gateway, as docs/ has them."""

from pathlib import Path

import pytest

from tests.stack.stack import Stack

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
async def test_the_contracts_are_served_as_the_docs_have_them(stack: Stack, name: str) -> None:
    """Byte for byte, so that a client made from the one fits the other."""
    for gateway in stack.gateways:
        reply = await gateway.get(f"/{name}")
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.content == (_DOCS / name).read_bytes()
