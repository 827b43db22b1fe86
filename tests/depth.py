"""Depth: what takes too long for every run.

`make test` takes a slice of everything within minutes; `make chaos` (`ANDON_CHAOS=full`) takes it all.
"""

import os
from typing import Final

import pytest

FULL: Final = os.environ.get("ANDON_CHAOS") == "full"
only_in_full: Final = pytest.mark.skipif(not FULL, reason="ANDON_CHAOS=full takes this too: make chaos")
