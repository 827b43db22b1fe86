"""What Open WebUI's stop is to the bench."""

from collections.abc import Sequence

from bench.contender import Ability, Dialect, Place, Program
from bench.peers import environment
from bench.peers.json_dialect import JsonDialect
from bench.peers.programs import Cast


class OpenWebUi:
    """The publish-and-cancel of Open WebUI in a minimal server, every process both gateway and worker."""

    name = "open_webui"
    title = "Open WebUI's stop"
    version = f"as in open-webui 0.12.4, on {environment.versions('fastapi', 'uvicorn', 'redis', 'openai')}"
    abilities = frozenset({Ability.STOP, Ability.STOP_ELSEWHERE, Ability.REPLICAS})

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its processes."""
        return list(Cast(place, self.name).web("bench.peers.open_webui.server:app"))

    def dialect(self, session: str) -> Dialect:  # noqa: ARG002 - it knows no sessions
        """Return what is spoken on a new socket."""
        return JsonDialect()
