"""Chosen: which peers a measure is made on. Each is compared where what it stands for shows."""

from typing import Final

from bench.contender import Ability, Contender
from bench.peers import PEERS
from bench.size import Size

# Ways to move tokens; the others are ways to stop.
MOVERS: Final = ("naive", "socketio", "sdk_objects")


def stoppers(size: Size) -> list[Contender]:
    """Return the peers that have a stop."""
    return [peer for peer in _allowed(size) if Ability.STOP in peer.abilities]


def movers(size: Size) -> list[Contender]:
    """Return the peers that are compared by what a token or a socket costs."""
    return [peer for peer in _allowed(size) if peer.name in MOVERS]


def every(size: Size) -> list[Contender]:
    """Return all."""
    return _allowed(size)


def _allowed(size: Size) -> list[Contender]:
    return [peer for peer in PEERS.values() if size.peers is None or peer.name in size.peers]
