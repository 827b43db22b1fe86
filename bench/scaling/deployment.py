"""Deployment: how many shards, workers and gateways a load takes, and which bound decides. Arithmetic."""

import math
from dataclasses import dataclass

from bench.scaling.load import Load


@dataclass(frozen=True, slots=True)
class Count:
    """So many, for this reason."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is put up for a load. A shard is a master and its replica, a worker or gateway one process on a core."""

    load: Load
    shards: Count
    workers: Count
    gateways: Count

    @property
    def processes(self) -> int:
        """Gateways and workers."""
        return self.workers.number + self.gateways.number


def deployment(load: Load) -> Deployment:
    """Size one for a load."""
    assumed = load.assumed
    return Deployment(
        load,
        shards=_most(
            CPU=load.redis_cores / assumed.busy_share,
            memory=(load.log_bytes + load.turn_bytes) / assumed.shard_bytes,
        ),
        workers=_most(CPU=load.worker_cores / assumed.busy_share, streams=load.streams / assumed.streams_a_worker),
        gateways=_most(CPU=load.gateway_cores / assumed.busy_share, sockets=load.sockets / assumed.sockets_a_gateway),
    )


def _most(**needed: float) -> Count:
    why = max(needed, key=lambda name: needed[name])
    return Count(max(1, math.ceil(needed[why])), why)
