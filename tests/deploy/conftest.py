import uuid

import pytest


@pytest.fixture
def session() -> str:
    """Name a session that no other test has."""
    return f"deploy-{uuid.uuid4().hex}"
