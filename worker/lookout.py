"""Lookout: stops are heard while there is much to do, too.

Owns how often a busy worker looks at its stop channel. The event loop takes in all that is ready before it looks anew
at what has become ready: with a thousand streams that speak at once, a turn takes some 30 ms, for which a stop would
wait. So whoever has done a piece of work says so here, and every few pieces the channel is looked at. Does not own the
hearing.
"""

from collections.abc import Callable
from typing import Final

# Pieces of some 20 to 40 us; a look that finds nothing takes 2.
_EVERY: Final = 16


class Lookout:
    """Call it after each piece of work, where everything is in order. `glance` may stop whatever run there is."""

    def __init__(self, glance: Callable[[], None], *, every: int = _EVERY) -> None:
        self._glance = glance
        self._every = every
        # Pieces since the last look.
        self._pieces = 0

    def __call__(self) -> None:
        """Look, if it is time."""
        self._pieces += 1
        if self._pieces >= self._every:
            self._pieces = 0
            self._glance()


def blind() -> None:
    """Look at nothing: the plain version; the loop brings every stop in its turn."""
