from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from andon.embedded import EmbeddedValkey

# As in tests/unit: no deadline an example, for the machine may be busy.
settings.register_profile("andon", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("andon")


@pytest.fixture(scope="session")
def worker_valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server
