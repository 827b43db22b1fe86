"""Site: what checks look at: the settings, the servers, the contract's own connection, the gateways."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from andon.address import Topology
from andon.database import Database
from andon.doctor.finding import Finding, Verdict, fail, ok
from andon.doctor.line import NoAnswer
from andon.doctor.server import Server
from andon.doctor.survey import Survey
from andon.settings import Settings

_SHOWN_CHARS: Final = 200
# Of what is well, where each server says something else.
_MOST_TOLD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the doctor was asked. `role`: `gateway`, `worker`, or `both`; durations in seconds."""

    environ: Mapping[str, str]
    gateways: tuple[str, ...]
    token: str | None
    model: str | None
    stops: bool
    role: str
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The deployment as it is seen from here."""

    order: Order
    settings: Settings
    survey: Survey
    database: Database

    @property
    def is_cluster(self) -> bool:
        """Tell whether the address is that of a cluster."""
        return self.survey.address.topology is Topology.CLUSTER

    async def each(
        self, judge: Callable[[Server], Awaitable[Finding]], *, of: list[Server] | None = None
    ) -> list[Finding]:
        """Judge each server; what is well is told once, what is not is told of each."""
        servers = self.survey.servers if of is None else of
        found: list[Finding] = []
        well: list[str] = []
        for server in servers:
            finding = await _judged(judge, server)
            if finding.verdict is Verdict.OK:
                well.append(finding.found)
            else:
                prefix = f"{server.name}: " if len(servers) > 1 else ""
                found.append(Finding(verdict=finding.verdict, found=prefix + finding.found, remedy=finding.remedy))
        if well:
            told = list(dict.fromkeys(well))
            more = f"; and {len(told) - _MOST_TOLD} more like these" if len(told) > _MOST_TOLD else ""
            found.append(ok("; ".join(told[:_MOST_TOLD]) + more))
        return found


async def _judged(judge: Callable[[Server], Awaitable[Finding]], server: Server) -> Finding:
    try:
        return await judge(server)
    except NoAnswer as error:
        return fail(f"it went away during the look ({error})", "look at its log and its load; then ask again")
    except ResponseError as error:
        return refused(error)


def refused(error: ResponseError) -> Finding:
    """Say that the server refused what the look needs."""
    told = str(error)[:_SHOWN_CHARS]
    return fail(f"it refuses: {told}", "give the user of ANDON_REDIS_URL the commands that docs/redis.md lists")
