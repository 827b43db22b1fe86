"""What agno's stop is to the bench."""

from collections.abc import Sequence

from bench.contender import Ability, Dialect, Place, Program
from bench.peers import environment
from bench.peers.json_dialect import JsonDialect
from bench.peers.programs import Cast


class Agno:
    """The polled flag of agno in a minimal server, every process both gateway and worker."""

    name = "agno"
    title = "agno's stop"
    version = f"as in agno 3.1.10, on {environment.versions('fastapi', 'uvicorn', 'redis', 'openai')}"
    abilities = frozenset({Ability.STOP, Ability.STOP_ELSEWHERE, Ability.REPLICAS})

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its processes."""
        return list(Cast(place, self.name).web("bench.peers.agno.server:app"))

    def dialect(self, session: str) -> Dialect:  # noqa: ARG002 - it knows no sessions
        """Return what is spoken on a new socket."""
        return JsonDialect()
