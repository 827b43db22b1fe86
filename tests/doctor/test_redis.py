"""Faults of Redis, planted one at a time: each is found by the name of its check, with what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from andon.doctor.finding import Verdict
from andon.embedded import EmbeddedValkey
from tests.doctor.clinic import examined
from tests.doctor.middleman import as_old, middleman, with_a_clock_ahead_by, without_messages
from tests.stack.ports import free_port
from tests.stack.sentinel_trio import SERVICE, Sentinel
from tests.stack.servers import client_of, until

pytestmark = pytest.mark.timeout(300)  # several looks each, on a machine that may be starved

Start = Callable[..., EmbeddedValkey]
# Only these can be wrong where there is a Redis and nothing else, and it keeps nothing on disk.
ALONE = {"persistence", "workers"}


def socket_of(server: EmbeddedValkey) -> Path:
    return Path(server.url.removeprefix("unix://"))


async def test_a_redis_that_is_well_has_nothing_to_mend(redis: Start, tmp_path: Path) -> None:
    """No false alarm: without workers only their absence is told."""
    found = await examined({"ANDON_REDIS_URL": redis(appendonly=tmp_path / "aof").url})
    assert {finding.check for finding in found.to_mend()} - {"latency"} == {"workers"}


async def test_nothing_is_left_behind(redis: Start) -> None:
    """Not one key."""
    server = redis()
    await examined({"ANDON_REDIS_URL": server.url})
    with client_of(server) as client:
        assert client.keys("*") == []


@pytest.mark.parametrize(
    ("config", "check", "verdict", "words"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", "fail", "allkeys-lru|noeviction"),
        ({}, "persistence", "warn", "keeps nothing on disk|appendonly yes"),
        ({"save": "60 1"}, "persistence", "warn", "snapshots|appendonly yes"),
        ({"maxmemory": "3mb"}, "memory", "fail|warn", "of maxmemory|raise maxmemory"),
        ({"timeout": "30"}, "idle connections", "warn", "idle for 30 s|timeout 0"),
        (
            {"client_output_buffer_limit": "pubsub 64kb 32kb 10"},
            "output buffers",
            "fail",
            "listeners are cut off|pubsub 32mb 8mb 60",
        ),
        ({"min_replicas_to_write": "1"}, "replicas", "fail", "every write is refused|min-replicas-to-write"),
        ({"replicaof": "127.0.0.1 1"}, "topology", "fail", "replica of 127.0.0.1:1|readonly|name the master"),
        ({"cluster_enabled": "yes"}, "topology", "fail", "node of a cluster|redis+cluster://"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value.replace("|", " or ") if len(value) < 20 else "",
)
async def test_a_directive_that_will_not_do(
    redis: Start, config: dict[str, str], check: str, verdict: str, words: str
) -> None:
    """Found by name, with its remedy; nothing else is accused but what follows from it."""
    server = redis(is_tcp="cluster_enabled" in config, **config)
    if "maxmemory" in config:
        with client_of(server) as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", int(used * 1.02))
    found = await examined({"ANDON_REDIS_URL": server.url})
    told = next(finding for finding in found.of(check) if finding.remedy)
    assert told.verdict in verdict.split("|")
    for word in words.split("|"):
        assert word in f"{told.found} {told.remedy}".lower()
    failed = {finding.check for finding in found if finding.verdict is Verdict.FAIL}
    assert failed <= {check, *ALONE}


async def test_a_server_that_is_too_old(redis: Start) -> None:
    """It would fail later, in words that nobody understands."""
    async with middleman(socket_of(redis()), as_old) as url:
        found = await examined({"ANDON_REDIS_URL": url})
    assert "upgrade to redis 7.0" in found.bad("version")


async def test_a_clock_that_is_wrong(redis: Start) -> None:
    """By how much, and which way."""
    async with middleman(socket_of(redis()), with_a_clock_ahead_by(7)) as url:
        told = (await examined({"ANDON_REDIS_URL": url})).bad("clocks")
    assert "ahead of ours" in told
    assert "ntp" in told


async def test_messages_that_do_not_come(redis: Start) -> None:
    """Subscriptions are confirmed, and then it is silent: both kinds are told of."""
    async with middleman(socket_of(redis()), without_messages) as url:
        found = await examined({"ANDON_REDIS_URL": url}, patience_s=1.0)
    told = [f"{finding.found} {finding.remedy}" for finding in found.of("pub/sub") if finding.verdict is Verdict.FAIL]
    assert len(told) == 2
    assert "SSUBSCRIBE" in told[0]
    assert all("proxies without pub/sub" in each for each in told)


async def test_a_wrong_password(redis: Start) -> None:
    """It is told apart from all else that keeps a connection from being made, and not shown."""
    server = redis()
    with client_of(server) as client:
        client.config_set("requirepass", "right-one")
    wrong = server.url.replace("unix://", "unix://:wrong-one@")
    for url in (wrong, server.url):
        found = await examined({"ANDON_REDIS_URL": url})
        assert "refuses the user or the password" in found.bad("reach")
        assert "wrong-one" not in str(found)
        skipped = [finding for finding in found if finding.verdict is Verdict.SKIPPED]
        assert {"version", "pub/sub", "stop"} <= {finding.check for finding in skipped}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("+@all ~andon:* resetchannels", "may not use the channels andon:*|&andon:*|+ssubscribe"),
        ("+@all -xautoclaim -spublish ~andon:* &andon:*", "xautoclaim, spublish|+xautoclaim"),
        ("+@all ~other:* &*", "no scripts on keys andon:*|~andon:*"),
        ("+@all -eval -evalsha -script ~andon:* &andon:*", "no scripts|+eval"),
    ],
    ids=["channels", "commands", "keys", "scripts"],
)
async def test_a_user_who_may_too_little(redis: Start, rules: str, words: str) -> None:
    """What is missing is named in the words of ACL SETUSER."""
    server = redis()
    with client_of(server) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret-of-app", *rules.split())
    url = server.url.replace("unix://", "unix://app:secret-of-app@")
    told = (await examined({"ANDON_REDIS_URL": url})).bad("permissions")
    for word in words.split("|"):
        assert word in told


async def test_a_user_with_just_what_is_listed_may_all_that_is_needed(redis: Start, tmp_path: Path) -> None:
    """Without CONFIG and the like, which managed servers refuse: what cannot be seen is no fault."""
    server = redis(appendonly=tmp_path / "aof")
    rules = "+@all -@admin -@dangerous +info ~andon:* &andon:*"
    with client_of(server) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret-of-app", *rules.split())
    found = await examined({"ANDON_REDIS_URL": server.url.replace("unix://", "unix://app:secret-of-app@")})
    assert {finding.check for finding in found.to_mend()} - {"latency"} == {"workers"}
    assert found.of("output buffers")[0].verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:{port}/0", "nobody listens|start it"),
        ("unix:///nowhere/at/all.sock", "no socket at|path"),
        ("redis://no-such-host.invalid:6379/0", "not known here|dns"),
        ("redis+sentinel://127.0.0.1:{port}/master", "no sentinel can be reached|mend the sentinels"),
        ("redis+cluster://127.0.0.1:{port}", "nobody listens|mend the address"),
    ],
    ids=["port", "socket", "name", "sentinel", "cluster"],
)
async def test_nobody_there(url: str, words: str) -> None:
    """Why a connection cannot be made decides what to do; everything else waits for it."""
    found = await examined({"ANDON_REDIS_URL": url.format(port=free_port())}, patience_s=5.0)
    told = " ".join(f"{finding.found} → {finding.remedy}" for finding in found.of("reach")).lower()
    for word in words.split("|"):
        assert word in told
    assert [finding.check for finding in found if finding.verdict is Verdict.FAIL] == ["reach"]


async def test_tls_where_there_is_none(redis: Start) -> None:
    """It is silence, and what it may mean is said."""
    server = redis(is_tcp=True)
    found = await examined({"ANDON_REDIS_URL": f"rediss://127.0.0.1:{server.port}/0"}, patience_s=1.0)
    assert "tls" in found.bad("reach")


async def test_a_cluster_whose_slots_are_not_covered(redis: Start) -> None:
    """How many are missing."""
    server = redis(is_tcp=True, cluster_enabled="yes")
    with client_of(server) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16382)
    found = await examined({"ANDON_REDIS_URL": f"redis+cluster://127.0.0.1:{server.port}"})
    told = found.bad("topology")
    assert "1 of 16384 slots are not covered" in told
    assert "addslotsrange" in told


async def test_a_cluster_that_is_none(redis: Start) -> None:
    """The URL is what is wrong."""
    found = await examined({"ANDON_REDIS_URL": f"redis+cluster://127.0.0.1:{redis(is_tcp=True).port}"})
    assert "no node of a cluster" in found.bad("reach")


async def test_too_few_sentinels(redis: Start) -> None:
    """One of a quorum of two: nobody would take over. A name that no sentinel knows is another matter."""
    sentinel = Sentinel(redis(is_tcp=True).port or 0)
    try:
        until(lambda: sentinel.call("MASTER", SERVICE), "the sentinel answers")
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}"
        found = await examined({"ANDON_REDIS_URL": f"{url}/{SERVICE}"})
        unknown = await examined({"ANDON_REDIS_URL": f"{url}/another"})
    finally:
        sentinel.stop()
    assert "too few sentinels" in found.bad("topology")
    assert "knows no master 'another'" in unknown.bad("reach")
