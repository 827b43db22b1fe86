"""The floor's programs as contenders, so that they are measured by the very same hands."""

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from bench.contender import Ability, Kind, Place, Program, Reading, Role
from bench.floor.build import build, compiler_version

_TOKENS: Final = Reading(Kind.TOKENS)
_ENDED: Final = Reading(Kind.ENDED)


class FloorDialect:
    """A letter, and what it is about."""

    target = "/"
    greeting: Sequence[bytes] = ()
    waits_for_ready = False

    def create(self, prompt: str) -> bytes:
        """Return a create."""
        return b"c " + prompt.encode()

    def stop(self, response_id: str) -> bytes:
        """Return a stop."""
        return b"x " + response_id.encode()

    def attach(self, response_id: str) -> bytes:
        """Have no such thing."""
        raise NotImplementedError

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame is."""
        match frame[:1]:
            case b"t":
                return _TOKENS
            case b"s":
                return Reading(Kind.STARTED, frame[2:].decode())
            case _:
                return _ENDED


class Floor:
    """The hops of a stop: two processes and Redis between."""

    name = "floor"
    title = "the floor (C)"
    abilities = frozenset({Ability.STOP, Ability.STOP_ELSEWHERE})

    @property
    def version(self) -> str:
        """What it was compiled with."""
        return compiler_version()

    def programs(self, place: Place) -> Sequence[Program]:
        """Return the gateways and the one worker."""
        floor, redis, upstream = str(build()), _port_of(place.redis_url), _port_of(place.upstream)
        gateways = [
            Program(role=Role.GATEWAY, argv=(floor, "gateway", str(number), redis), ready=_port)
            for number in range(place.gateways)
        ]
        return [*gateways, Program(role=Role.WORKER, argv=(floor, "worker", redis, upstream), ready=_port)]

    def dialect(self, session: str) -> FloorDialect:
        """Return what is spoken."""
        del session
        return FloorDialect()


class Ends:
    """The two ends of a token: one process, and nothing between."""

    name = "ends"
    title = "the two ends alone (C)"
    abilities = frozenset({Ability.STOP})

    @property
    def version(self) -> str:
        """What it was compiled with."""
        return compiler_version()

    def programs(self, place: Place) -> Sequence[Program]:
        """Return the one process."""
        return [Program(role=Role.BOTH, argv=(str(build()), "ends", _port_of(place.upstream)), ready=_port)]

    def dialect(self, session: str) -> FloorDialect:
        """Return what is spoken."""
        del session
        return FloorDialect()


class LeanEnds:
    """The same in Python: what Python itself costs whoever relays."""

    name = "lean_ends"
    title = "the two ends alone (Python)"
    abilities = frozenset({Ability.STOP})

    @property
    def version(self) -> str:
        """What it runs on."""
        return f"CPython {platform.python_version()}, uvloop {importlib.metadata.version('uvloop')}"

    def programs(self, place: Place) -> Sequence[Program]:
        """Return the one process."""
        argv = (sys.executable, "-m", "bench.floor.lean_ends", _port_of(place.upstream))
        return [Program(role=Role.BOTH, argv=argv, ready=_port)]

    def dialect(self, session: str) -> FloorDialect:
        """Return what is spoken."""
        del session
        return FloorDialect()


def _port_of(url: str) -> str:
    return str(urlsplit(url).port)


def _port(line: bytes) -> int | None:
    return int(line.split()[1]) if line.startswith(b"floor.ready") else None
