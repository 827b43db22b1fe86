"""Backlog: how long the oldest job has waited for a worker."""

from typing import Final

from andon import keys
from andon.doctor.check import DATABASE, Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.site import Site
from andon.errors import StoreUnavailable

_NOTABLE_S: Final = 5.0
# Of the queue's time to live: the first are about to fail.
_LATE_SHARE: Final = 0.5


async def _look(site: Site) -> list[Finding]:
    call = site.database.call
    try:
        rows, clock, length = call("XRANGE", keys.QUEUE, "-", "+", "COUNT", 1), call("TIME"), call("XLEN", keys.QUEUE)
        first, (seconds, _), waiting = await rows, await clock, int(await length)
    except StoreUnavailable as error:
        return [fail(f"the queue could not be read: {error}", "look at Redis' load")]
    if not first:
        return [ok("nobody waits")]
    age_s = int(seconds) - int(first[0][0].partition(b"-")[0]) / 1000
    told = f"{waiting} wait for a worker, the oldest for {max(0.0, age_s):.0f} s"
    remedy = "add workers; look whether those that live are full, or the model server slow"
    if age_s > _LATE_SHARE * site.settings.queue_ttl_s:
        return [fail(f"{told}, of {site.settings.queue_ttl_s:g} until it fails", remedy)]
    return [warn(told, remedy) if age_s > _NOTABLE_S else ok(told)]


CHECK: Final = Check(
    name="queue", asks="How old is the oldest job that waits for a worker?", look=_look, needs=DATABASE
)
