"""Clocks: how far this machine's is from Redis', and the gateways' from that.

Leases and expiry go by Redis' clock alone. What goes by each process' own: the times in a stop's answer and in records,
when a session that seems forgotten is swept, the age of what is trimmed, and whether a token has expired.
"""

import time
from typing import Final

import msgspec

from andon import keys
from andon.doctor.check import DATABASE, Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site
from andon.gateways import TTL_MS, AboutGateway
from andon.ids import GatewayId

_TRIES: Final = 5
_NOTABLE_S: Final = 0.5
# A lost queue entry is looked for after 2 s (`andon.sweep`), and tokens are forgiven 10.
_FAR_S: Final = 2.0
_REMEDY: Final = "let NTP (chrony, systemd-timesyncd) run on every machine, Redis' included"


async def _judge(server: Server) -> Finding:
    """Compare at the fastest of a few round trips: half of it is what the comparison may be wrong by."""
    best: tuple[float, float] | None = None
    for _ in range(_TRIES):
        before = time.time()
        seconds, micros = await server.ask("TIME")
        after = time.time()
        tried = (after - before, int(seconds) + int(micros) / 1e6 - (before + after) / 2)
        best = tried if best is None else min(best, tried)
    assert best is not None
    round_trip_s, ahead_s = best
    return _of(ahead_s, round_trip_s / 2, "Redis' clock", "ours")


def _of(ahead_s: float, doubt_s: float, whose: str, than: str) -> Finding:
    way = "ahead of" if ahead_s > 0 else "behind"
    told = f"{whose} is {abs(ahead_s):.3f} s {way} {than}"
    if abs(ahead_s) - doubt_s > _FAR_S:
        return fail(told, _REMEDY)
    return warn(told, _REMEDY) if abs(ahead_s) - doubt_s > _NOTABLE_S else ok(f"{whose} and {than} agree")


async def _look_at_gateways(site: Site) -> list[Finding]:
    """Compare what gateways say.

    Each writes its clock into a key with a time to live, so Redis tells when that was by its own.
    """
    call = site.database.call
    found = []
    for member in await call("ZRANGE", keys.GATEWAYS, 0, -1):
        name = keys.gateway(GatewayId(member.decode()))
        told, left, clock = call("GET", name), call("PTTL", name), call("TIME")
        text, left_ms, (seconds, micros) = await told, int(await left), await clock
        if text is None or left_ms <= 0:
            continue
        about = msgspec.json.decode(text, type=AboutGateway)
        written_at = int(seconds) + int(micros) / 1e6 - (TTL_MS - left_ms) / 1000
        # It took its time before it wrote: on a busy machine it may have been a while, and then it seems behind.
        finding = _of(about.at - written_at, 0.1, f"the clock of gateway {about.host}/{about.pid}", "Redis'")
        if finding.remedy is not None:
            found.append(finding)
    return found


async def _look(site: Site) -> list[Finding]:
    return [*await site.each(_judge, of=site.survey.masters), *await _look_at_gateways(site)]


CHECK: Final = Check(
    name="clocks", asks="Do this machine's clock, the gateways' and Redis' agree?", look=_look, needs=DATABASE
)
