"""What Andon's shape in SDK objects is to the bench."""

from collections.abc import Sequence

from bench.contender import Ability, Dialect, Place, Program, Role
from bench.peers import environment
from bench.peers.json_dialect import JsonDialect
from bench.peers.programs import Cast


class SdkObjects:
    """Gateways and workers as Andon has them, with the SDK's objects and one pipeline of two commands a token."""

    name = "sdk_objects"
    title = "SDK objects and cancel"
    version = environment.versions("starlette", "uvicorn", "redis", "openai")
    abilities = frozenset(Ability)

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its gateways and workers."""
        cast = Cast(place, self.name)
        gateways = cast.web("bench.peers.sdk_objects.gateway:app", Role.GATEWAY)
        return [*gateways, *cast.workers("bench.peers.sdk_objects.worker")]

    def dialect(self, session: str) -> Dialect:  # noqa: ARG002 - it knows no sessions
        """Return what is spoken on a new socket."""
        return JsonDialect()
