"""Connections: whether Redis closes idle ones, and has room for more."""

from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, skipped, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_FULL: Final = 0.95
_NEARLY_FULL: Final = 0.8


async def _judge_idle(server: Server) -> Finding:
    told = await server.config("timeout")
    if told is None:
        return skipped("it does not tell its timeout")
    if int(told):
        return warn(
            f"connections that are idle for {told} s are closed; each time commands in flight are lost and repeated",
            "set timeout 0 (dead peers are found by tcp-keepalive)",
        )
    if await server.config("tcp-keepalive") == "0":
        return warn(
            "tcp-keepalive is off: connections of machines that vanished stay for ever", "set tcp-keepalive 300"
        )
    return ok("idle ones are left alone")


async def _judge_room(server: Server) -> Finding:
    info = await server.info()
    most = int(info.get("maxclients") or await server.config("maxclients") or "0")
    there = int(info.get("connected_clients", "0"))
    told = f"{there} connections" + (f" of {most}" if most else "")
    remedy = "raise maxclients (and the open files of the process); a gateway and a worker take three to five a node"
    if most and there > _FULL * most:
        return fail(told, remedy)
    return warn(told, remedy) if most and there > _NEARLY_FULL * most else ok(told)


async def _look_at_idle(site: Site) -> list[Finding]:
    return await site.each(_judge_idle)


async def _look_at_room(site: Site) -> list[Finding]:
    return await site.each(_judge_room)


IDLE: Final = Check(name="idle connections", asks="Is `timeout` 0 and `tcp-keepalive` on?", look=_look_at_idle)
ROOM: Final = Check(name="connections", asks="Is there room below `maxclients`?", look=_look_at_room)
