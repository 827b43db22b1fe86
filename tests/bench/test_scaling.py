"""docs/scaling.md: its tables are what the code says, and the code does what queues and proportions do."""

import json
import random
import statistics
from pathlib import Path

import msgspec
import pytest

from bench.scaling.deployment import deployment
from bench.scaling.figures import OWN, Figures, read
from bench.scaling.limits import limits
from bench.scaling.load import Assumptions, Load
from bench.scaling.queueing import Station, delays, hottest_share, percentile, simulate
from bench.scaling.tables import PAGE, placed, tables

pytestmark = pytest.mark.timeout(300)  # it only computes, and a busy machine lets it wait

MILLION = 1_000_000
# CPU decides: nothing is kept for long.
BUSY = Assumptions(log_ttl_s=1.0, session_ttl_s=1.0, sockets_a_gateway=1e9, streams_a_worker=1e9)
replace = msgspec.structs.replace


def figures() -> Figures:
    return read()


def test_the_page_says_what_the_simulation_says() -> None:
    """Whoever measures anew, or assumes something else, runs `python -m bench.scaling`, which rewrites it."""
    page = PAGE.read_text(encoding="utf-8")
    assert placed(page, tables(figures())) == page, "run `python -m bench.scaling`"


def test_it_is_the_same_each_time() -> None:
    """By its seed; another seed is another draw, and near it."""
    made = deployment(Load(MILLION, Assumptions(), figures()))
    one, again, other = simulate(made), simulate(made), simulate(made, seed=2)
    assert one == again
    assert one.delays != other.delays
    assert statistics.mean(other.delays) == pytest.approx(statistics.mean(one.delays), rel=0.4)


def test_half_the_cpu_a_token_is_half_the_processes() -> None:
    """Where CPU decides; the costs of a response are left out."""
    known = replace(figures(), response_redis_us=0.0, response_worker_us=0.0, response_gateway_us=0.0)
    half = replace(
        known,
        token_redis_us=known.token_redis_us / 2,
        token_worker_us=known.token_worker_us / 2,
        token_gateway_us=known.token_gateway_us / 2,
    )
    whole, halved = (deployment(Load(100 * MILLION, BUSY, each)) for each in (known, half))
    for name in ("shards", "workers", "gateways"):
        before, after = getattr(whole, name), getattr(halved, name)
        assert before.why == after.why == "CPU"
        assert after.number == pytest.approx(before.number / 2, abs=1)


def test_what_is_kept_for_half_as_long_takes_half_the_memory() -> None:
    """And where memory decides, half the shards: with tokens that cost Redis no CPU, it decides both."""
    known = replace(figures(), token_redis_us=0.0)
    long = Load(MILLION, Assumptions(log_ttl_s=600.0), known)
    short = Load(MILLION, Assumptions(log_ttl_s=300.0, session_ttl_s=Assumptions().session_ttl_s / 2), known)
    assert deployment(long).shards.why == "memory"
    assert deployment(short).shards.number == pytest.approx(deployment(long).shards.number / 2, rel=0.05)


def test_more_sockets_take_proportionally_more_of_all() -> None:
    """And no limit becomes any easier."""
    small, large = (deployment(Load(sockets, Assumptions(), figures())) for sockets in (MILLION, 10 * MILLION))
    for name in ("shards", "workers", "gateways"):
        assert getattr(large, name).number == pytest.approx(10 * getattr(small, name).number, rel=0.05)
    before = {limit.name: limit.used for limit in limits(small)}
    for limit in limits(large):
        assert limit.used > before[limit.name]


def test_a_queue_is_as_long_as_theory_says() -> None:
    """Poisson arrivals, one server, work of a fixed length: Pollaczek and Khinchine's mean."""
    busy, service_s = 0.7, 100e-6
    station = Station(tokens=busy / service_s, token_us=service_s * 1e6, responses=0.0, response_us=0.0)
    assert station.utilisation == pytest.approx(busy)
    mean_s = service_s + busy * service_s / (2 * (1 - busy))
    assert statistics.mean(delays(station, random.Random(3), events=200_000)) == pytest.approx(mean_s, rel=0.1)


def test_long_work_between_makes_tokens_wait() -> None:
    """As much work, in longer pieces: the tail is of those."""
    even = Station(tokens=5000.0, token_us=100.0, responses=0.0, response_us=0.0)
    mixed = Station(tokens=5000.0, token_us=50.0, responses=50.0, response_us=5000.0)
    assert even.utilisation == pytest.approx(mixed.utilisation)
    p99 = [percentile(sorted(delays(each, random.Random(1))), 0.99) for each in (even, mixed)]
    assert p99[1] > 5 * p99[0]


def test_sessions_fall_unevenly_and_slots_are_whole() -> None:
    """One shard has all; many streams are nearly even; of thousands of shards some own half as many slots again."""
    rng = random.Random(1)
    assert hottest_share(1000, 1, rng) == 1.0
    assert 1.0 < hottest_share(190_000, 10, rng) < hottest_share(1000, 10, rng) < 2.0
    assert hottest_share(3 * MILLION, 7000, rng) == pytest.approx(7000 * 3 / 16384, rel=0.3)
    with pytest.raises(ValueError, match="more than there are slots"):
        hottest_share(MILLION, 20_000, rng)


def test_what_the_bench_measured_counts_more(tmp_path: Path) -> None:
    """Its medians, as soon as there are any; what it did not run is the prototype's."""
    own = json.loads(OWN.read_text(encoding="utf-8"))
    rounds = [
        {"redis_us": cost, "cpu_us": {"worker": 2 * cost, "gateway": 3 * cost}, "sent": 1.1, "bytes": 900.0}
        for cost in (5.0, 7.0, 50.0)
    ]
    bench = tmp_path / "performance.json"
    bench.write_text(
        json.dumps(
            {
                "machine": {"made": "2030-01-01", "cpus": 8, "cpu": "Abacus"},
                "cost": {"rounds": {"paced": {"andon": rounds}}},
                "sockets": None,
            }
        )
    )
    found = read(bench)
    assert (found.token_redis_us, found.token_worker_us, found.token_gateway_us) == (7.0, 14.0, 21.0)
    assert "2030-01-01" in found.source
    assert found.socket_bytes == own["socket_bytes"]
    assert read(tmp_path / "none.json").token_redis_us == own["token_redis_us"]
