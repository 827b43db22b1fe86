"""Contenders: all of them, by name."""

from collections.abc import Mapping
from typing import Final

from bench.andon_contender import AndonContender
from bench.contender import Contender
from bench.floor.contender import Ends, Floor, LeanEnds
from bench.peers import PEERS

ANDON: Final[Contender] = AndonContender()
FLOOR: Final[Contender] = Floor()
ENDS: Final[Contender] = Ends()
LEAN_ENDS: Final[Contender] = LeanEnds()

_ALL: Final[Mapping[str, Contender]] = {each.name: each for each in (ANDON, FLOOR, ENDS, LEAN_ENDS, *PEERS.values())}


def contender_of(name: str) -> Contender:
    """Return the contender of this name. Raises KeyError."""
    return _ALL[name]
