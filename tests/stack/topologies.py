"""Topologies: which servers a stack runs on.

Owns the choice by `ANDON_TEST_REDIS` (`standalone`, `sentinel`, `cluster`; `make test REDIS=cluster`): the whole suite
runs on it, but for tests that are about the one server or bring servers of their own.
"""

import os
from pathlib import Path
from typing import Final

from .cluster_of_three import ClusterOfThree
from .sentinel_trio import SentinelTrio
from .servers import Servers, Standalone

KINDS: Final = ("standalone", "sentinel", "cluster")
CHOSEN: Final = os.environ.get("ANDON_TEST_REDIS", "standalone")


def servers_of(kind: str = CHOSEN, *, appendonly: Path | None = None, config: dict[str, str] | None = None) -> Servers:
    """Make the servers of a kind; nothing is started."""
    match kind:
        case "standalone":
            return Standalone(appendonly=appendonly, config=config)
        case "sentinel":
            return SentinelTrio(appendonly=appendonly, config=config)
        case "cluster":
            return ClusterOfThree(appendonly=appendonly, config=config)
        case _:
            raise ValueError(f"ANDON_TEST_REDIS={kind}: must be one of {', '.join(KINDS)}")
