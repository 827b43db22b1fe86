"""Memory: whether Redis throws keys away when it is full, and how near that is.

Two checks that look at the same numbers: an evicted key is a lost job, whatever room there is.
"""

from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_FULL: Final = 0.95
_NEARLY_FULL: Final = 0.8
_MIB: Final = 1024 * 1024


async def _judge_eviction(server: Server) -> Finding:
    info = await server.info()
    policy = info.get("maxmemory_policy") or await server.config("maxmemory-policy") or "unknown"
    if policy != "noeviction":
        return fail(
            f"maxmemory-policy is {policy}: an evicted key is a lost job or a lost stop",
            "set maxmemory-policy noeviction; a full Redis then refuses new work and still takes stops",
        )
    evicted = int(info.get("evicted_keys", "0"))
    return ok("noeviction" if not evicted else f"noeviction, and {evicted} keys were evicted before it was")


async def _judge_room(server: Server) -> Finding:
    info = await server.info()
    used, most = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    of = "maxmemory"
    if most == 0:
        most, of = int(info.get("total_system_memory", "0")), "the machine's memory (no maxmemory is set)"
    if most == 0:
        return ok(f"{used / _MIB:.0f} MiB used")
    told = f"{used / _MIB:.0f} MiB are used, {100 * used / most:.0f} % of {of}"
    remedy = "raise maxmemory, add nodes, or lower ANDON_LOG_TTL_S and ANDON_SESSION_TTL_S"
    if used > _FULL * most:
        return fail(f"{told}: new work is refused at its end", remedy)
    return warn(told, remedy) if used > _NEARLY_FULL * most else ok(told)


async def _look_at_eviction(site: Site) -> list[Finding]:
    return await site.each(_judge_eviction)


async def _look_at_room(site: Site) -> list[Finding]:
    return await site.each(_judge_room)


EVICTION: Final = Check(name="eviction", asks="Is `maxmemory-policy` noeviction?", look=_look_at_eviction)
ROOM: Final = Check(name="memory", asks="Is there room below `maxmemory`?", look=_look_at_room)
