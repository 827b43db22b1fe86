"""Contenders: all of them, by name."""

from collections.abc import Mapping
from typing import Final

from bench.andon_contender import AndonContender
from bench.contender import Contender
from bench.floor import contender as floor
from bench.peers import PEERS

ANDON: Final[Contender] = AndonContender()
FLOOR: Final[Contender] = floor.FLOOR
ENDS: Final[Contender] = floor.ENDS
LEAN_ENDS: Final[Contender] = floor.LEAN_ENDS

_ALL: Final[Mapping[str, Contender]] = {each.name: each for each in (ANDON, FLOOR, ENDS, LEAN_ENDS, *PEERS.values())}


def contender_of(name: str) -> Contender:
    """Return the contender of this name. Raises KeyError."""
    return _ALL[name]
