"""What TypeScript says of the JavaScript client."""

import pytest

from tests.javascript.typecheck import check
from tests.node.node import Node


@pytest.mark.timeout(120)
def test_its_types_hold_for_the_sources_and_for_those_who_use_them(node: Node) -> None:
    """Strict over the sources; the shipped types are what they say; the transport suits `ai` 6 and 7."""
    assert check(node) == ""
