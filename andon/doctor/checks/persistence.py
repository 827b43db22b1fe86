"""Persistence: what a restart of Redis would lose."""

from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site


async def _judge(server: Server) -> Finding:
    info = await server.info()
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return fail("its AOF cannot be written: it refuses writes", "look at its disk (full? slow?) and its log")
        fsync = await server.config("appendfsync") or "unknown"
        lost = {"always": "nothing", "everysec": "a second", "no": "what the kernel had not written"}
        return ok(f"AOF on, appendfsync {fsync}: a crash loses {lost.get(fsync, 'what was not synced')}")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return fail("its last snapshot failed: it may refuse writes", "look at its disk and its memory (fork)")
    save = await server.config("save")
    if save:
        return warn(
            f"no AOF, snapshots by `save {save}`: a restart loses what came after the last one",
            "set appendonly yes (appendfsync everysec): live jobs of minutes are lost otherwise",
        )
    return warn(
        "it keeps nothing on disk: a restart ends every live response with 1011 job_lost",
        "set appendonly yes (appendfsync everysec)",
    )


async def _look(site: Site) -> list[Finding]:
    return await site.each(_judge)


CHECK: Final = Check(name="persistence", asks="What is lost when Redis restarts (AOF, snapshots)?", look=_look)
