"""Limits: what does not grow with the number of shards, and how near each is: the keys and loops that there is one of.

Owns the list, from `andon/keys.py` and the code that uses each. A limit of 1.0 is reached where `busy_share` of the one
core, or all of the one memory, is used up; above it, it breaks.
"""

from dataclasses import dataclass
from typing import Final

from bench.scaling.deployment import Deployment

# Redis' own default, and what its documentation calls the size to which a cluster scales.
_MAX_CLIENTS: Final = 10_000
_NODES: Final = 1000
# Ports of one address towards one other.
_PORTS: Final = 64_000
# Commands of a response on the key: XADD, PEXPIRE, its share of XREADGROUP, XACK, XDEL; ZADD, PEXPIRE, its unindexing.
_ON_QUEUE: Final = 5
_ON_SESSIONS: Final = 3
_ON_SETTLEMENTS: Final = 2
# Entries of a stop, and commands of an entry.
_AUDITED: Final = 2
_ON_AUDIT: Final = 2
# Round trips of the sweep for a session, one after the other: SMEMBERS, XRANGE, unindexing.
_OF_SWEEP: Final = 3
# A claimer's read blocks for half a second.
_READS_A_SECOND: Final = 2
_LOOKS_A_LEASE: Final = 10
_BEATS_A_LEASE: Final = 4
# What a worker keeps at each node: commands, queue; its stop channel is at one. A gateway: commands, events, WAIT.
_OF_WORKER: Final = 2
_OF_GATEWAY: Final = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `used`: of what there is, 1.0 is all."""

    name: str
    used: float
    told: str


def limits(made: Deployment) -> list[Limit]:
    """Return all of them, the most used first."""
    load, assumed = made.load, made.load.assumed

    def core(commands: float) -> float:
        return commands * assumed.command_us / 1e6 / assumed.busy_share

    reads = made.workers.number * _READS_A_SECOND
    queue = load.responses * _ON_QUEUE + reads
    sessions = load.responses * _ON_SESSIONS
    settlements = load.responses * _ON_SETTLEMENTS
    audit = load.stops * _AUDITED
    beats = made.workers.number * _BEATS_A_LEASE / assumed.lease_s * 2 + made.gateways.number
    turns = made.processes * (_LOOKS_A_LEASE + 1) / assumed.lease_s
    sweep_s = load.responses * _OF_SWEEP * assumed.round_trip_s
    bury_s = made.workers.number * assumed.round_trip_s
    connections = made.workers.number * _OF_WORKER + made.gateways.number * _OF_GATEWAY
    found = [
        Limit(
            "`andon:settlements`, memory of one key",
            load.settlement_bytes / assumed.shard_bytes,
            f"{_bytes(load.settlement_bytes)} in {assumed.settlements_keep_s / 86400:g} days",
        ),
        Limit("`andon:settlements`, commands", core(settlements), _rate(settlements)),
        Limit("`andon:queue`, commands", core(queue), _rate(queue)),
        Limit("`andon:sessions`, commands", core(sessions), _rate(sessions)),
        Limit(
            "the sweep's walk over `andon:sessions`",
            sweep_s,
            f"{sweep_s:.3g} s of round trips for a second's responses",
        ),
        Limit("`andon:audit`, commands", core(audit * _ON_AUDIT), _rate(audit * _ON_AUDIT)),
        Limit(
            "`andon:audit`, length",
            audit * assumed.audit_keep_s / assumed.audit_entries,
            f"{assumed.audit_entries:,.0f} entries are {_time(assumed.audit_entries / audit)}",
        ),
        Limit("`andon:workers`, `andon:gateways`: beats", core(beats), _rate(beats)),
        Limit("`andon:turn:*`, polled by every process", core(turns), _rate(turns)),
        Limit(
            "the look for dead workers",
            bury_s / (assumed.lease_s / _LOOKS_A_LEASE),
            f"{bury_s:.3g} s of round trips every {assumed.lease_s / _LOOKS_A_LEASE:g} s",
        ),
        Limit("connections of a shard", connections / _MAX_CLIENTS, f"{connections:,} of maxclients {_MAX_CLIENTS:,}"),
        Limit("stops on the cluster's bus, at every node", core(load.stops), _rate(load.stops)),
        Limit("nodes of one cluster", 2 * made.shards.number / _NODES, f"{2 * made.shards.number:,} of {_NODES:,}"),
        Limit("ports towards the model, behind one address", load.streams / _PORTS, f"{load.streams:,.0f} streams"),
    ]
    return sorted(found, key=lambda limit: -limit.used)


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:,.0f} PiB"


def _time(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"
