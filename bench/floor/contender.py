"""The floor's programs as contenders, so that they are measured by the very same hands."""

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorContender:
    """Some processes that speak the floor's few letters."""

    name: str
    title: str
    abilities: frozenset[Ability]
    # Both are asked only when it is measured: to be named, it needs no compiler.
    built_on: Callable[[], str]
    processes: Callable[[Place], Sequence[Program]]

    @property
    def version(self) -> str:
        """What it was compiled with, or runs on."""
        return self.built_on()

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its processes."""
        return self.processes(place)

    def dialect(self, session: str) -> FloorDialect:
        """Return what is spoken."""
        del session
        return FloorDialect()


def _hops(place: Place) -> Sequence[Program]:
    floor, redis = str(build()), _port_of(place.redis_url)
    gateways = [_program(Role.GATEWAY, floor, "gateway", str(number), redis) for number in range(place.gateways)]
    return [*gateways, _program(Role.WORKER, floor, "worker", redis, _port_of(place.upstream))]


def _ends(place: Place) -> Sequence[Program]:
    return [_program(Role.BOTH, str(build()), "ends", _port_of(place.upstream))]


def _lean_ends(place: Place) -> Sequence[Program]:
    return [_program(Role.BOTH, sys.executable, "-m", "bench.floor.lean_ends", _port_of(place.upstream))]


def _python_version() -> str:
    return f"CPython {platform.python_version()}, uvloop {importlib.metadata.version('uvloop')}"


def _program(role: Role, *argv: str) -> Program:
    return Program(role=role, argv=argv, ready=_port)


def _port_of(url: str) -> str:
    return str(urlsplit(url).port)


def _port(line: bytes) -> int | None:
    return int(line.split()[1]) if line.startswith(b"floor.ready") else None


# The hops of a stop: two gateways' processes, a worker's, and Redis between.
FLOOR: Final = FloorContender(
    name="floor",
    title="the floor (C)",
    abilities=frozenset({Ability.STOP, Ability.STOP_ELSEWHERE}),
    built_on=compiler_version,
    processes=_hops,
)
# The two ends of a token: one process, and nothing between.
ENDS: Final = FloorContender(
    name="ends",
    title="the two ends alone (C)",
    abilities=frozenset({Ability.STOP}),
    built_on=compiler_version,
    processes=_ends,
)
# The same in Python: what Python itself costs whoever relays.
LEAN_ENDS: Final = FloorContender(
    name="lean_ends",
    title="the two ends alone (Python)",
    abilities=frozenset({Ability.STOP}),
    built_on=_python_version,
    processes=_lean_ends,
)
