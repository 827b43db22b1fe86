from collections.abc import AsyncIterator

import pytest

from andon import keys
from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.lifetime import background
from andon.script import all_scripts, script
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from tests.contract.jobs import running, settle
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


async def test_a_settlement_stays_in_its_outbox_until_its_copy_has_a_replica(
    cluster: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream's master may die with the copy, and the outbox is another's: one of them has it, whichever dies."""
    monkeypatch.setattr(cluster, "is_spread", True)
    store = Store(cluster, Settings())
    job = await running(store)
    await settle(store, job, 2)
    shipper = Shipper(cluster)
    assert await shipper.ship(job.tag) == 1
    assert await shipper.ship(job.tag) == 0  # it is known to be copied
    assert await cluster.call("XLEN", keys.SETTLEMENTS) == 1
    assert await cluster.call("XLEN", keys.outbox(job.tag)) == 1

    async def is_gone() -> bool:
        return not await cluster.call("EXISTS", keys.outbox(job.tag))

    async with background(shipper.run()):
        await wait_until(is_gone, timeout_s=15)
    assert await cluster.call("XLEN", keys.SETTLEMENTS) == 1
