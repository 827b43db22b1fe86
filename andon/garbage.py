"""Garbage: how often Python's collector looks, in processes that live long and hold much.

Owns its thresholds. Reference counts free what ends here, but for a few cycles a connection; the collector's own looks
cost a pause that grows with all that lives, and come as often as objects are made. What was there at the start, some
200,000 objects of imported modules, is never garbage.
"""

import gc
from typing import Final

# Objects made and not freed until the young are looked at; 700 is Python's own.
_YOUNG: Final = 50_000
# So many looks at the young until the middle, and of those until the old, are looked at.
_LOOKS: Final = 20


def look_seldom() -> None:
    """To be called once, when everything has been started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _LOOKS, _LOOKS)
