from collections.abc import AsyncIterator

import pytest

from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.script import all_scripts, script
from andon.settings import Settings
from andon.store import Store
from tests.contract.test_keys import live_a_full_life
from tests.stack.waiting import wait_until


@pytest.fixture
async def cluster() -> AsyncIterator[Database]:
    """Give a cluster of one node: it refuses any script that touches a key outside the slot of those it declared."""
    # The socket's own server needs a port for its bus; 0 has none, so one is taken that is free as a rule.
    with EmbeddedValkey(config={"cluster-enabled": "yes", "cluster-port": "0", "port": "0"}) as server:
        async with Database(server.url, timeout_s=2.0).open() as database:
            await database.wait_connected(5)
            await database.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def is_up() -> bool:
                return b"cluster_state:ok" in await database.call("CLUSTER", "INFO")

            await wait_until(is_up)
            yield database


async def test_every_script_runs_in_a_cluster(cluster: Database) -> None:
    """A full life raises no CROSSSLOT and no undeclared key."""
    await live_a_full_life(Store(cluster, Settings()), cluster)
    await cluster.eval(script("unindex"), ["andon:sessions"], ["tag", "0"])
    calls = (await cluster.call("INFO", "commandstats")).decode()
    assert "failed_calls=0" in next(line for line in calls.splitlines() if line.startswith("cmdstat_evalsha"))
    known = await cluster.call("SCRIPT", "EXISTS", *(each.sha for each in all_scripts()))
    assert set(known) == {1}
