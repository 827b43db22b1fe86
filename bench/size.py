"""Size: how much of everything a run does.

Owns the two sizes. The full one is made for under ten minutes on two cores; the quick one does each thing once, in
little, so that a test shows that the bench still works, and measures nothing worth keeping.
"""

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The numbers of one size. A load is (streams, tokens a second of each)."""

    rounds: int = 3
    # Stops a round, of each contender.
    stops_idle: int = 20
    stops_silent: int = 10
    stops_elsewhere: int = 15
    stops_loaded: int = 40
    loads: tuple[tuple[int, float], ...] = ((200, 50.0), (1000, 20.0))
    # Requests a round, of each contender.
    first_tokens: int = 30
    # The load of the cost of a token, one that keeps both cores busy whoever takes it, and how long it is looked at.
    paced: tuple[int, float] = (200, 50.0)
    saturating: tuple[int, float] = (200, 300.0)
    window_s: float = 3.0
    # Sockets opened on Andon, and on peers.
    sockets: int = 2000
    sockets_of_peers: int = 500
    fan_out: tuple[int, ...] = (1, 10, 100)
    fan_out_window_s: float = 1.5
    # Streams in a storm of stops, and tokens a second of each.
    storm: tuple[int, float] = (1000, 1.0)
    # Streams that share `growing_tokens` a second.
    growing_streams: tuple[int, ...] = (100, 500, 2000)
    growing_tokens: float = 4000.0
    growing_window_s: float = 3.0
    growing_workers: tuple[int, ...] = (1, 2, 4, 8)
    growing_worker_stops: int = 20
    growing_sessions: tuple[int, ...] = (1_000, 10_000, 100_000)
    growing_session_stops: int = 30
    # Peers by name; None: all that there are.
    peers: frozenset[str] | None = field(default=None)


FULL: Final = Size()
QUICK: Final = Size(
    rounds=1,
    stops_idle=2,
    stops_silent=1,
    stops_elsewhere=0,  # would start Andon anew, twice
    stops_loaded=2,
    loads=((5, 20.0),),
    first_tokens=2,
    paced=(5, 20.0),
    saturating=(5, 40.0),
    window_s=0.5,
    sockets=20,
    sockets_of_peers=20,
    fan_out=(1, 3),
    fan_out_window_s=0.3,
    storm=(10, 5.0),
    growing_streams=(2, 5),
    growing_tokens=50.0,
    growing_window_s=0.4,
    growing_workers=(1, 2),
    growing_worker_stops=2,
    growing_sessions=(20, 50),
    growing_session_stops=2,
    peers=frozenset(),
)
