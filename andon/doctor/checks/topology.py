"""Topology: whether the servers are what the URL says, and nothing is missing.

One server: a master, and no node of a cluster. Sentinel: a quorum, a living master, a failover shorter than the lease.
Cluster: all slots covered, each node of one mind.
"""

from typing import Final

from redis.exceptions import ResponseError

from andon.address import Topology
from andon.doctor.check import Check
from andon.doctor.finding import Finding, Verdict, fail, ok, warn
from andon.doctor.line import Line, NoAnswer
from andon.doctor.server import Server, parse_info
from andon.doctor.site import Site, refused
from andon.slots import SLOTS

# An election, and connections that are opened anew (docs/redis.md).
_ELECTION_S: Final = 2.0
# Of the lease: when a worker closes its upstreams by itself.
_SWITCH_SHARE: Final = 0.8
_URL: Final = "ANDON_REDIS_URL"


async def _judge_role(server: Server) -> Finding:
    info = await server.info()
    role = info.get("role", "unknown")
    if not server.is_replica and role != "master":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        return fail(
            f"it is a replica of {master}: every write is refused (READONLY)",
            f"name the master in {_URL}, or the sentinels that know it (redis+sentinel://)",
        )
    if server.is_replica and role == "master":
        return warn("it is called a replica and says that it is a master", "a failover is going on: look again")
    if info.get("loading") == "1":
        return fail("it is still loading its data", "wait until it has; then look again")
    return ok("a master" if role == "master" else "its replica")


async def _judge_standalone(server: Server) -> Finding:
    finding = await _judge_role(server)
    if finding.verdict is Verdict.OK and (await server.info()).get("cluster_enabled") == "1":
        return fail("it is a node of a cluster", f"write {_URL}=redis+cluster://... with some of the nodes")
    return finding


async def _judge_node(server: Server) -> Finding:
    finding = await _judge_role(server)
    if finding.verdict is not Verdict.OK:
        return finding
    told = parse_info(await server.ask("CLUSTER", "INFO"))
    covered = int(told.get("cluster_slots_assigned", "0"))
    if covered < SLOTS:
        return fail(
            f"{SLOTS - covered} of {SLOTS} slots are not covered",
            "give them to a node: CLUSTER ADDSLOTSRANGE, or redis-cli --cluster fix",
        )
    if told.get("cluster_state") != "ok":
        failing = int(told.get("cluster_slots_fail", "0")) + int(told.get("cluster_slots_pfail", "0"))
        return fail(
            f"the cluster is down ({failing} slots are on nodes that fail)",
            "bring the node back, or let its replica take over (CLUSTER FAILOVER)",
        )
    return ok(f"all {SLOTS} slots are covered")


async def _look_at_sentinels(site: Site) -> list[Finding]:
    found: list[Finding] = []
    service, well = site.survey.address.service, 0
    for name, line in site.survey.sentinels:
        try:
            finding = await _of_sentinel(line, service, site.settings.lease_s)
        except NoAnswer as error:
            finding = fail(f"{name} went away during the look ({error})", "bring it back")
        except ResponseError as error:
            finding = refused(error)
        if finding.verdict is Verdict.OK:
            well += 1
        else:
            found.append(Finding(verdict=finding.verdict, found=f"{name}: {finding.found}", remedy=finding.remedy))
    if well:
        found.append(ok(f"{well} of {len(site.survey.address.nodes)} sentinels agree, with a quorum"))
    return found


async def _of_sentinel(line: Line, service: str, lease_s: float) -> Finding:
    try:
        await line.ask("SENTINEL", "CKQUORUM", service)
    except ResponseError as error:
        if "NOQUORUM" not in str(error) and "not enough" not in str(error).lower():
            raise
        return fail(
            "too few sentinels are there for a failover", "start sentinels until a majority lives (SENTINEL CKQUORUM)"
        )
    flat = await line.ask("SENTINEL", "MASTER", service)
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    if "down" in fields["flags"]:
        return fail(
            f"it holds the master for dead ({fields['flags']})", "bring the master back, or wait for the failover"
        )
    down_s = int(fields["down-after-milliseconds"]) / 1000
    return _failover_fits(down_s, lease_s, "down-after-milliseconds")


def _failover_fits(down_s: float, lease_s: float, directive: str) -> Finding:
    if down_s + _ELECTION_S > _SWITCH_SHARE * lease_s:
        return warn(
            f"a failover takes some {down_s + _ELECTION_S:g} s and costs all live streams (the lease is {lease_s:g} s)",
            f"lower {directive}, or raise ANDON_LEASE_S over {(down_s + _ELECTION_S) / _SWITCH_SHARE:.0f}",
        )
    return ok("a failover fits into the lease")


async def _look_at_failover_of_cluster(site: Site) -> list[Finding]:
    """Judge the time of a failover, where there can be one."""
    if not any(server.is_replica for server in site.survey.servers):
        return []
    told = await site.survey.masters[0].config("cluster-node-timeout")
    return [] if told is None else [_failover_fits(int(told) / 1000, site.settings.lease_s, "cluster-node-timeout")]


async def _look(site: Site) -> list[Finding]:
    match site.survey.address.topology:
        case Topology.STANDALONE:
            return await site.each(_judge_standalone)
        case Topology.SENTINEL:
            return [*await _look_at_sentinels(site), *await site.each(_judge_role)]
        case Topology.CLUSTER:
            return [*await site.each(_judge_node), *await _look_at_failover_of_cluster(site)]


CHECK: Final = Check(
    name="topology", asks="Are the servers what the URL says: a master, a quorum of sentinels, all slots?", look=_look
)
