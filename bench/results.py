"""Results: all that a run found, as it is kept in docs/performance.json."""

import re
from pathlib import Path
from typing import Final

import msgspec

from bench.machine import Machine
from bench.measures.cost import Cost
from bench.measures.fan_out import FanOut
from bench.measures.first_token import FirstToken
from bench.measures.growth import Growth
from bench.measures.sockets import Sockets
from bench.measures.stop import StopCase
from bench.measures.storm import Storm

_NUMBERS: Final = re.compile(rb"\[\s*-?[0-9][0-9.,e+\s-]*\]")


class Results(msgspec.Struct):
    """What was found. A measure that was not run is None."""

    machine: Machine
    # Of each contender, by name: its title and what it is built on.
    titles: dict[str, str]
    versions: dict[str, str]
    seconds: float = 0.0
    # By measure that could not be made: why.
    failures: dict[str, str] = msgspec.field(default_factory=dict)
    stop: list[StopCase] | None = None
    first_token: FirstToken | None = None
    cost: Cost | None = None
    sockets: Sockets | None = None
    fan_out: FanOut | None = None
    storm: Storm | None = None
    growth: Growth | None = None


def write(results: Results, path: Path) -> None:
    """Keep them; lists of numbers on a line each, so that a reader can scroll and git can tell what changed."""
    spread = msgspec.json.format(msgspec.json.encode(results), indent=1)
    path.write_bytes(_NUMBERS.sub(lambda found: b"".join(found[0].split()), spread) + b"\n")


def read(path: Path) -> Results:
    """Read what was kept."""
    return msgspec.json.decode(path.read_bytes(), type=Results)
