"""Replicas: whether a stop can be answered for, should a master's machine be lost."""

from typing import Final

from andon.address import Topology
from andon.doctor import names
from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_KEY_TTL_MS: Final = 10_000


class _Judge:
    def __init__(self, site: Site) -> None:
        self._wait_s = site.settings.replica_wait_s
        self._expects_some = site.survey.address.topology is not Topology.STANDALONE

    async def __call__(self, server: Server) -> Finding:
        info = await server.info()
        count = int(info.get("connected_slaves", "0"))
        least = int(await server.config("min-replicas-to-write") or "0")
        if count < least:
            return fail(
                f"{count} replicas of {least} that min-replicas-to-write wants: every write is refused",
                "bring the replicas back, or lower min-replicas-to-write",
            )
        if count == 0:
            return self._without()
        return await self._wait(server, count)

    def _without(self) -> Finding:
        if self._expects_some:
            return warn(
                "it has no replica: nobody can take over from it", "give each master a replica on another machine"
            )
        return ok("none: stops wait for nobody, and a lost machine is lost jobs")

    async def _wait(self, server: Server, count: int) -> Finding:
        key = names.key("replica", server.slot)
        await server.ask("SET", key, "1", "PX", _KEY_TTL_MS)
        had = int(await server.ask("WAIT", 1, max(1, int(self._wait_s * 1000))))
        await server.ask("DEL", key)
        if had == 0:
            return warn(
                f"none of its {count} replicas has a write within {self._wait_s:g} s: stops answer `replicated: false`",
                "look at the replicas' load and links, or raise ANDON_REPLICA_WAIT_S",
            )
        return ok(f"{count} in step, WAIT is answered in time")


async def _look(site: Site) -> list[Finding]:
    return await site.each(_Judge(site), of=site.survey.masters)


CHECK: Final = Check(
    name="replicas", asks="Are there replicas, and does `WAIT` answer in time?", look=_look, needs=("reach", "topology")
)
