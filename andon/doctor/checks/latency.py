"""Latency: how long does the way to Redis take? Every token goes it once, every stop twice."""

import statistics
import time
from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_PINGS: Final = 21
_SLOW_MS: Final = 5.0
# Of the time-out of a command: a median near it means that commands are given up all the time.
_HOPELESS_SHARE: Final = 0.25


class _Judge:
    def __init__(self, site: Site) -> None:
        self._hopeless_ms = site.settings.command_timeout_s * 1000 * _HOPELESS_SHARE

    async def __call__(self, server: Server) -> Finding:
        times_ms = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            await server.ask("PING")
            times_ms.append((time.perf_counter() - began) * 1000)
        median = statistics.median(times_ms)
        told = f"a round trip takes {median:.2f} ms ({max(times_ms):.1f} at most of {_PINGS})"
        if median > self._hopeless_ms:
            return fail(
                told, "bring Redis nearer, or look at its load (SLOWLOG, INFO commandstats); ANDON_COMMAND_TIMEOUT_S"
            )
        if median > _SLOW_MS:
            return warn(told, "bring gateways and workers into the zone of Redis: stops and tokens wait for it")
        return ok(told)


async def _look(site: Site) -> list[Finding]:
    return await site.each(_Judge(site), of=site.survey.masters)


CHECK: Final = Check(name="latency", asks="How long does a round trip to Redis take?", look=_look)
