"""Workers: whether any lives, hears stops, has room, and holds the lease that we would.

Reads only. A worker that is deaf is one whose stop channel nobody listens on: its stops go the slower ways.
"""

from typing import Final

from redis.exceptions import ResponseError

from andon import keys
from andon.doctor.check import DATABASE, Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.line import NoAnswer
from andon.doctor.site import Site
from andon.errors import StoreUnavailable
from andon.lease import Leases, Standing

# A beat is a quarter of the lease, so three quarters are left, and less where loops are busy.
_LEFT_AT_LEAST: Final = 0.5
_ROUNDING_S: Final = 0.05
_REMEDY: Final = "start workers (`andon worker`), and look at the log of those that should be there"


async def _look(site: Site) -> list[Finding]:
    try:
        standings = await Leases(site.database, lease_s=site.settings.lease_s).standings()
        live = [each for each in standings if not each.is_dead and each.left_s > 0]
        found = [*_of_the_dead(standings), *_of_the_leases(live, site.settings.lease_s), *_of_the_room(live)]
        found += await _of_the_deaf(site, live)
    except StoreUnavailable as error:
        return [fail(f"the leases could not be read: {error}", "look at Redis' load")]
    if not live:
        return [fail("no worker lives: creates wait, and fail after ANDON_QUEUE_TTL_S", _REMEDY), *found]
    running, room = sum(each.about.live for each in live), sum(each.about.concurrency for each in live)
    return [*found, ok(f"{len(live)} live, {running} streams of {room}")]


def _name(each: Standing) -> str:
    return f"{each.id} ({each.about.host}/{each.about.pid})"


def _of_the_dead(standings: list[Standing]) -> list[Finding]:
    dead = [each for each in standings if each.is_dead and each.about.live]
    overdue = [each for each in standings if not each.is_dead and each.left_s <= 0]
    remedy = "look at the end of their logs (killed? out of memory? cut off from Redis?)"
    found = []
    if dead:
        found.append(warn(f"{len(dead)} died, with streams: {', '.join(map(_name, dead))}", remedy))
    if overdue:
        found.append(warn(f"{len(overdue)} did not renew their lease: {', '.join(map(_name, overdue))}", remedy))
    return found


def _of_the_leases(live: list[Standing], lease_s: float) -> list[Finding]:
    other = [
        each for each in live if not _LEFT_AT_LEAST * lease_s - _ROUNDING_S <= each.left_s <= lease_s + _ROUNDING_S
    ]
    longer = [each for each in other if each.left_s > lease_s]
    if longer:
        told = f"{', '.join(map(_name, longer))}: {longer[0].left_s:.1f} s are left of a lease of {lease_s:g} s"
        return [warn(told, "set the same ANDON_LEASE_S everywhere, here too")]
    if other:
        told = f"{', '.join(map(_name, other))}: {other[0].left_s:.1f} s are left of a lease of {lease_s:g} s"
        return [warn(told, "set the same ANDON_LEASE_S everywhere; if it is the same, those workers are short of CPU")]
    return []


def _of_the_room(live: list[Standing]) -> list[Finding]:
    if live and all(each.about.draining for each in live):
        return [fail("all of them drain: nobody takes new work", _REMEDY)]
    takers = [each for each in live if not each.about.draining]
    if takers and all(each.about.live >= each.about.concurrency for each in takers):
        return [warn("all of them are full", "add workers, or raise ANDON_WORKER_CONCURRENCY")]
    return []


async def _of_the_deaf(site: Site, live: list[Standing]) -> list[Finding]:
    if not live:
        return []
    channels = [keys.stop_channel(each.id) for each in live]
    listeners: dict[bytes, int] = {}
    try:
        for server in site.survey.masters:
            flat = await server.ask("PUBSUB", "NUMSUB", *channels)
            for name, count in zip(flat[::2], flat[1::2], strict=True):
                listeners[name] = listeners.get(name, 0) + int(count)
    except (ResponseError, NoAnswer):
        return []  # this user may not ask; the synthetic stop tells as well
    deaf = [each for each, name in zip(live, channels, strict=True) if not listeners.get(name.encode())]
    if not deaf:
        return []
    return [
        fail(
            f"{', '.join(map(_name, deaf))}: holds a lease and does not hear stops",
            "restart it; look for what cuts its subscription (pubsub_gaps, client-output-buffer-limit, proxies)",
        )
    ]


CHECK: Final = Check(
    name="workers",
    asks="Does a worker live, hear stops, have room, and hold the same lease?",
    look=_look,
    needs=DATABASE,
)
