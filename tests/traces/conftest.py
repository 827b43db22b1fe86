"""A stack that exports its spans to a receiver in this process."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stack.stack import Stack
from tests.traces.receiver import Receiver

# What a collector asks for to let somebody in: no log may hold it.
COLLECTOR_KEY = "collector-key-0123456789"


class Traced:
    """The stack, and what came of it."""

    def __init__(self, stack: Stack, receiver: Receiver) -> None:
        self.stack = stack
        self.receiver = receiver


def otel(endpoint: str) -> dict[str, str]:
    """Return the environment of a process that exports there, without long waits for a full batch."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-collector-key={COLLECTOR_KEY}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    with Receiver() as receiver:
        logs = tmp_path_factory.mktemp("traced-stack")
        async with Stack(logs, gateways=2, workers=1, env=otel(receiver.endpoint)) as stack:
            stack.secrets.add(COLLECTOR_KEY)
            yield Traced(stack, receiver)


@pytest.fixture
async def traced(_shared: Traced) -> AsyncIterator[Traced]:
    """Lend a stack of two gateways and one worker whose spans come here."""
    yield _shared
    await _shared.stack.check_quiet()
