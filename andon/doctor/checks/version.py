"""Version: whether every server is new enough, and of the same version."""

from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_LEAST: Final = (7, 0)


async def _judge(server: Server) -> Finding:
    info = await server.info()
    told = info.get("redis_version", "0")
    version = tuple(int(part) if part.isdecimal() else 0 for part in told.split(".")[:2])
    if version < _LEAST:
        return fail(
            f"Redis {told}: no sharded pub/sub, no flags of scripts", "upgrade to Redis 7.0 or newer, or to Valkey"
        )
    return ok(f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {told}")


async def _look(site: Site) -> list[Finding]:
    found = await site.each(_judge)
    if len(found) == 1 and ";" in found[0].found:
        return [
            warn(f"servers of several versions: {found[0].found}", "bring all to one version once the update is over")
        ]
    return found


CHECK: Final = Check(name="version", asks="Is each server Redis 7.0 or newer, or Valkey?", look=_look)
