"""Peer: what a peer is to the bench, told by its data.

Owns nothing of how a peer works: that is its directory's. A peer is one web server, every process both gateway and
worker, or a gateway and workers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.contender import Ability, Dialect, Place, Program, Role
from bench.peers.json_dialect import JsonDialect
from bench.peers.programs import Cast


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer; a `Contender`. `web`: its server (`module:name`). `workers`: the module of its workers, if any."""

    name: str
    title: str
    version: str
    web: str
    workers: str | None = None
    abilities: frozenset[Ability] = frozenset(Ability)
    speaks: Callable[[], Dialect] = JsonDialect

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its processes."""
        cast = Cast(place, self.name)
        if self.workers is None:
            return list(cast.web(self.web))
        return [*cast.web(self.web, Role.GATEWAY), *cast.workers(self.workers)]

    def dialect(self, session: str) -> Dialect:  # noqa: ARG002 - no peer knows sessions
        """Return what is spoken on a new socket."""
        return self.speaks()
