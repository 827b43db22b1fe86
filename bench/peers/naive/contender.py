"""What the naive version is to the bench."""

from collections.abc import Sequence

from bench.contender import Ability, Dialect, Place, Program, Role
from bench.peers import environment
from bench.peers.json_dialect import JsonDialect
from bench.peers.programs import Cast


class Naive:
    """A FastAPI gateway with a pub/sub connection a socket, and workers that publish token by token."""

    name = "naive"
    title = "naive (as tutorials have it)"
    version = environment.versions("fastapi", "uvicorn", "redis", "openai")
    abilities = frozenset(Ability)

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its gateways and workers."""
        cast = Cast(place, self.name)
        gateways = cast.web("bench.peers.naive.gateway:app", Role.GATEWAY)
        return [*gateways, *cast.workers("bench.peers.naive.worker")]

    def dialect(self, session: str) -> Dialect:  # noqa: ARG002 - it knows no sessions
        """Return what is spoken on a new socket."""
        return JsonDialect()
