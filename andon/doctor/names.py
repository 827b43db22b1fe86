"""Names: keys and channels of the doctor's own, shaped as the contract's, so that ACLs which fit those fit them."""

import itertools
import secrets
from typing import Final

from andon.slots import SLOTS, slot_of

_WORD: Final = "doctor"


def tag(slot: int | None = None) -> str:
    """Make a hash tag that nobody else has; in this slot, or in any."""
    made = f"{_WORD}-{secrets.token_hex(6)}"
    if slot is None:
        return made
    # A slot is hit once in 16,384 tries on average; without luck it takes a few times as many.
    tries = (f"{made}-{number}" for number in itertools.count())
    return next(name for name in tries if slot_of(name) == slot % SLOTS)


def key(kind: str, slot: int | None = None) -> str:
    """Name a key, or a sharded channel."""
    return f"andon:{{{tag(slot)}}}:{kind}"


def stop_channel() -> str:
    """Name a channel as workers have one."""
    return f"andon:stop:{tag()}"
