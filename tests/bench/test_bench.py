"""The benchmark works: each measure runs, in little, on Andon and the floor, and its report is whole.

Nothing is held against what it measures: this machine may be busy.
"""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import measured
from bench.floor.build import compiler
from bench.goals import goals
from bench.report import page
from bench.report.plots import plots
from bench.results import Results, read, write
from bench.size import QUICK
from tests.depth import only_in_full

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(compiler() is None, reason="no C compiler: apt-get install gcc libc6-dev"),
]


def _check_report(results: Results, directory: Path) -> None:
    """It survives being kept and read, and all of it can be shown."""
    assert results.failures == {}
    kept = directory / "performance.json"
    write(results, kept)
    again = read(kept)
    assert again == results
    docs = directory / "performance.md"
    docs.write_text("before\n<!-- figures: written by make bench -->\nold\n<!-- end of figures -->\nafter\n")
    page.write(again, directory)
    text = docs.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert all(goal.measure in text for goal in goals(again))
    for name, title, svg in plots(again):
        assert title in text
        assert (directory / "performance" / name).read_text() == svg
        ET.fromstring(svg)  # noqa: S314  our own


async def test_stops_first_tokens_and_costs_are_measured(tmp_path: Path) -> None:
    """Each stop closes an upstream, each contender's tokens are counted, and the floor is measured beside Andon."""
    results = await measured(QUICK, ["stop", "first_token", "cost"], tmp_path)
    _check_report(results, tmp_path)
    assert results.stop is not None
    for case in results.stop:
        assert case.failure is None
        assert set(case.stops_us) == {"andon", "floor"}
        assert all(all(took > 0 for took in each) and each for rounds in case.stops_us.values() for each in rounds)
        assert set(case.missed.values()) == {0}
    assert results.first_token is not None
    assert all(took > 0 for rounds in results.first_token.first_us.values() for each in rounds for took in each)
    assert results.cost is not None
    assert results.cost.failures == {}
    for by_name in results.cost.rounds.values():
        for rounds in by_name.values():
            assert all(each.tokens_a_second > 0 and each.whole_us > 0 for each in rounds)
    (andon,) = results.cost.rounds["paced"]["andon"]
    assert andon.sent > 0
    assert andon.inner > 0


@only_in_full
async def test_the_other_measures_are_made(tmp_path: Path) -> None:
    """Sockets, fan-out, the storm and growth give figures, and a stop costs one message."""
    size = replace(QUICK, stops_elsewhere=1)
    results = await measured(size, ["stop", "sockets", "fan_out", "storm", "growth"], tmp_path)
    _check_report(results, tmp_path)
    assert results.storm is not None
    assert [each.missed for each in results.storm.rounds["andon"]] == [0]
    assert results.growth is not None
    assert [each.sessions for each in results.growth.sessions] == list(size.growing_sessions)
    assert all(each.messages_a_stop >= 1 for each in results.growth.workers)
