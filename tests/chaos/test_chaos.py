"""Chaos: a few scenarios in every run of the tests; all of them, with more load and a report, in `make chaos`."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.account import Row
from tests.chaos.load import Shape
from tests.chaos.report import table
from tests.chaos.run import plant, run
from tests.chaos.scenarios import ALL, SCENARIOS, Losses, Scenario
from tests.depth import FULL
from tests.stack.topologies import CHOSEN

_FULL_SHAPE: Final = Shape(streams=60, seconds=6.0)
_SHORT_SHAPE: Final = Shape(streams=16, seconds=3.0)
# Of one scenario. Where servers fail over, the lease is longer, and with it what is waited for.
_PATIENCE_S: Final = 140 if CHOSEN == "standalone" else 260
# In this order on one plant: the first ones leave all processes in place.
_IN_EVERY_RUN: Final = (
    ("nothing-broken", "net-worker-hold-long", "kill-worker")
    if CHOSEN == "standalone"
    else ("nothing-broken", "failover", "net-worker-hold-long", "kill-master")
)
# Has what all of these need: the lease, and what the log may say.
_ON_THE_PLANT_OF: Final = _IN_EVERY_RUN[1]
# With little load on a machine that does much else, a median says little: it is held to the bound in the full run.
_MEDIAN_S: Final = 0.05 if FULL else 0.25


def _check(row: Row, scenario: Scenario) -> None:
    assert row.is_clean, f"{table([row])}\n" + "\n".join(row.faults[:30])
    assert row.stops > 0
    if scenario.losses is Losses.NONE:
        assert not row.job_lost
    if scenario.losses is Losses.DATA and CHOSEN == "standalone":  # elsewhere a replica may have been faster
        assert row.job_lost
    if scenario.name == "nothing-broken":
        assert row.median_s < _MEDIAN_S


@pytest.mark.skipif(FULL, reason="a full run has each of them on a plant of its own")
@pytest.mark.timeout(100 if CHOSEN == "standalone" else 240)
async def test_every_stop_is_obeyed_and_every_response_ends_once(tmp_path: Path, rows: list[Row]) -> None:
    """Nothing broken, a worker partitioned, one killed; on several servers a failover, that, and a master killed."""
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    # The union of what they expect: they share the plant.
    async with plant(scenarios[_ON_THE_PLANT_OF], tmp_path) as running:
        for name in _IN_EVERY_RUN:
            row = await run(scenarios[name], running, _SHORT_SHAPE)
            rows.append(row)
            _check(row, scenarios[name])


@pytest.mark.skipif(not FULL, reason="ANDON_CHAOS=full runs every scenario: make chaos")
@pytest.mark.timeout(_PATIENCE_S + 20)
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.name) for scenario in ALL])
async def test_a_scenario_keeps_every_promise(scenario: Scenario, tmp_path: Path, rows: list[Row]) -> None:
    """Whatever single thing is broken: no stop lost, one ending each, nothing left open, nothing after the mark."""
    if scenario.why_not_here is not None:
        pytest.skip(f"{scenario.name}: {scenario.why_not_here}")
    async with asyncio.timeout(_PATIENCE_S), plant(scenario, tmp_path) as running:
        row = await run(scenario, running, _FULL_SHAPE)
        rows.append(row)
        _check(row, scenario)
