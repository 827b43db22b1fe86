"""Examination: all checks, one after the other, each with what it needs.

Owns their order, their deadlines, and what becomes of one that breaks. Guarantees: every check is told of, done or not;
the bug of one hides no other; at the end nothing of it is left open.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from redis.exceptions import ResponseError

from andon.database import Database
from andon.doctor.check import DATABASE, Check
from andon.doctor.checks import (
    backlog,
    buffers,
    channels,
    clocks,
    connections,
    doors,
    environment,
    latency,
    memory,
    permissions,
    persistence,
    replicas,
    scripts,
    streaming,
    synthetic_stop,
    topology,
    upstream,
    version,
    workers,
)
from andon.doctor.finding import Finding, Verdict, fail, skipped, worst
from andon.doctor.line import NoAnswer
from andon.doctor.site import Order, Site, refused
from andon.doctor.survey import survey
from andon.errors import StartError, StoreUnavailable
from andon.settings import Settings

_log = structlog.get_logger(__name__)

REACH: Final = "reach"
# Of each server by itself.
OF_SERVERS: Final[tuple[Check, ...]] = (
    version.CHECK,
    topology.CHECK,
    permissions.CHECK,
    persistence.CHECK,
    memory.EVICTION,
    memory.ROOM,
    replicas.CHECK,
    buffers.CHECK,
    connections.IDLE,
    connections.ROOM,
    channels.CHECK,
    scripts.CHECK,
    latency.CHECK,
)
# Of what all of them are together, by the contract's own connection.
OF_ALL: Final[tuple[Check, ...]] = (
    clocks.CHECK,
    workers.CHECK,
    backlog.CHECK,
    upstream.CHECK,
    doors.CHECK,
    streaming.CHECK,
    synthetic_stop.CHECK,
)
CHECKS: Final = (*OF_SERVERS, *OF_ALL)
# A check waits a few times for its patience; the synthetic stop waits for a model.
_PATIENCES: Final = 6
_MODEL_S: Final = 90.0

# Made before there is anything to make the others on.
_REACH_ASKS: Final = "Can Redis be reached: address, TLS, password; every node, and every sentinel?"

Told = Callable[[Finding], None]


def table() -> list[tuple[str, str]]:
    """Return name and question of every check, in order."""
    return [(environment.NAME, environment.ASKS), (REACH, _REACH_ASKS), *((each.name, each.asks) for each in CHECKS)]


async def examine(order: Order, tell: Told) -> list[Finding]:
    """Make all checks; tell each finding as it is found, and return them all. Cancelling it is safe."""
    examination = _Examination(order, tell)
    await examination.go()
    return examination.findings


class _Examination:
    def __init__(self, order: Order, tell: Told) -> None:
        self._order = order
        self._tell = tell
        self.findings: list[Finding] = []
        # Checks of which something failed.
        self._failed: set[str] = set()

    async def go(self) -> None:
        settings, patience_s = self._read_settings(), self._order.patience_s
        database = Database(settings.redis_url, timeout_s=max(patience_s, settings.command_timeout_s))
        async with contextlib.AsyncExitStack() as stack:
            found = await stack.enter_async_context(survey(settings, patience_s=patience_s))
            self._take(REACH, found.findings)
            site = Site(order=self._order, settings=settings, survey=found, database=database)
            for check in OF_SERVERS:
                self._take(check.name, await self._made(check, site))
            # Only now: it would try again and again what is known to fail.
            if not self._failed.intersection(DATABASE):
                await stack.enter_async_context(database.open())
                with contextlib.suppress(StartError):  # the checks that come say it in their own words
                    await database.wait_connected(patience_s)
            for check in OF_ALL:
                self._take(check.name, await self._made(check, site))

    def _read_settings(self) -> Settings:
        settings, findings = environment.read(self._order.environ)
        self._take(environment.NAME, findings)
        # What is bad is left out, so all else can be looked at.
        self._failed.discard(environment.NAME)
        return settings

    def _take(self, name: str, findings: list[Finding]) -> None:
        for finding in findings:
            named = msgspec.structs.replace(finding, check=name)
            self.findings.append(named)
            self._tell(named)
        if worst(findings) in {Verdict.FAIL, Verdict.BROKEN}:
            self._failed.add(name)

    async def _made(self, check: Check, site: Site) -> list[Finding]:
        missing = [name for name in check.needs if name in self._failed]
        if missing:
            return [skipped(f"mend this first: {', '.join(missing)}")]
        within_s = _PATIENCES * self._order.patience_s + _MODEL_S
        try:
            async with asyncio.timeout(within_s):
                return await check.look(site)
        except TimeoutError:
            return [fail(f"it took longer than {within_s:g} s", "look at the load of Redis and of this machine")]
        except (NoAnswer, StoreUnavailable) as error:
            return [fail(f"Redis did not answer: {error}", "look at its log and its load; then ask again")]
        except ResponseError as error:
            return [refused(error)]
        except Exception as error:  # noqa: BLE001 - the outermost boundary of a check
            _log.exception("doctor.broken", check=check.name)
            told = f"the check itself broke ({type(error).__name__}): our bug"
            return [Finding(verdict=Verdict.BROKEN, found=told, remedy="report it, with the lines above")]
