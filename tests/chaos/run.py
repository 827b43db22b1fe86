"""Run: one scenario, from a running plant to its row in the table.

Owns the order: load, then trouble, then the account, while the processes still run.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos.account import Account, Row
from tests.chaos.load import Load, Shape
from tests.chaos.plant import Plant
from tests.chaos.scenarios import Scenario

_TROUBLE_AFTER_S: Final = 0.7
# What a worker says at level error when it cuts itself off: rightly so in many scenarios, and in any of them on a
# machine that gives it no time for most of a lease.
_CUT_OFF: Final = ("switch.fired", "worker.lost")


def plant(scenario: Scenario, logs: Path) -> Plant:
    """Make a plant for a scenario."""
    made = Plant(logs, workers=scenario.workers, lease_s=scenario.lease_s)
    for word in _CUT_OFF:
        made.expect_log(word)
    return made


async def run(scenario: Scenario, plant: Plant, shape: Shape) -> Row:
    """Run a scenario on a running plant, and return its row. Raises AssertionError for what no process may do, and
    for one that was not behind its network, so that nothing was shown.
    """
    load = Load(msgspec.structs.replace(shape, models=scenario.models), plant)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await asyncio.sleep(_TROUBLE_AFTER_S)
        await scenario.break_it(plant)
    plant.look()
    account = Account(scenario.name, plant, load, losses=scenario.losses)
    return await account.draw(patience_s=4 * plant.lease_s)
