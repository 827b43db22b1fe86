from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from andon.embedded import EmbeddedValkey
from tests.stack.ports import free_port
from tests.stack.servers import on_a_free_port
from tests.stack.stack import Stack
from tests.stack.topologies import servers_of


@pytest.fixture
def redis() -> Iterator[Callable[..., EmbeddedValkey]]:
    """Start servers of the test's own, with these directives (`_` for `-`)."""
    started: list[EmbeddedValkey] = []

    def start(*, is_tcp: bool = False, appendonly: Path | None = None, **config: str) -> EmbeddedValkey:
        named = {name.replace("_", "-"): value for name, value in config.items()}

        def make(port: int | None) -> EmbeddedValkey:
            more = {"cluster-port": str(free_port())} if "cluster-enabled" in named else {}
            started.append(EmbeddedValkey(port=port, appendonly=appendonly, config={**named, **more}))
            return started[-1]

        if is_tcp:
            return on_a_free_port(make)
        make(None).start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _well_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    kept = tmp_path_factory.mktemp("well-data")
    logs = tmp_path_factory.mktemp("well")
    async with Stack(logs, gateways=2, workers=1, servers=servers_of(appendonly=kept)) as stack:
        yield stack


@pytest.fixture
async def well(_well_stack: Stack) -> AsyncIterator[Stack]:
    """Lend a stack with nothing to mend: two gateways, one worker, a Redis that keeps what it has."""
    yield _well_stack
    await _well_stack.check_quiet()
