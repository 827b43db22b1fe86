import asyncio
from collections.abc import Callable

import pytest
import uvloop

from andon import usage
from andon.embedded import EmbeddedValkey
from tests.worker.tries import records, sim_process, try_stops

TRIES = 500
AT_ONCE = 8
# A swallowed stop leaves the model talking to its end, ten seconds; a starved machine may hold up a good one for half.
CLOSED_WITHIN_S = 3.0
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("make_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_not_one_stop_of_five_hundred_is_swallowed(
    worker_valkey: EmbeddedValkey, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """At a chunk a millisecond, each stop closes its upstream in time, settles once, and nothing follows its mark."""
    usage.warm()
    with sim_process() as base_url, asyncio.Runner(loop_factory=make_loop) as runner:
        tries = runner.run(try_stops(worker_valkey.url, base_url, count=TRIES, at_once=AT_ONCE, seed=7))
        seen = records(base_url)
    assert len(tries) == len(seen) == TRIES
    late = {}
    for done in tries:
        record = seen[done.log[0]["response"]["metadata"]["sim_key"]]
        assert done.receipt.recorded is not None
        assert record.closed_at is not None, "the model server was left talking"
        assert not record.finished
        if record.closed_at - done.receipt.recorded > CLOSED_WITHIN_S:
            late[record.key] = record.closed_at - done.receipt.recorded
        endings = [event for event in done.log if event["type"] in TERMINAL]
        assert endings == done.log[-1:]
        assert endings[0]["response"]["status"] == "cancelled"
        assert endings[0]["response"]["stop"]["upstream_closed_at"] is not None
        # The length was read right behind the mark: what is in the log since is the ending, and nothing else.
        assert endings[0]["sequence_number"] <= done.length_at_mark <= endings[0]["sequence_number"] + 1
        assert not [event["type"] for event in done.log if event["type"].endswith(".done")]
        assert done.settlements == 1
    assert late == {}
