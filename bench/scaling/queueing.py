"""Queueing: the queues that tokens stand in, simulated event by event.

Owns three stations, each one process on one core that serves in order of arrival: the worker that reads a token, the
shard that logs and publishes it, the gateway that sends it. Arrivals are Poisson: each station sees the tokens of
hundreds of streams. Two kinds of work come: tokens, and the endings and beginnings of responses, which take a hundred
times as long and are what a token waits for. Deterministic by its seed.

Does not own batching: a loop that is behind takes what has gathered in one go, at a fraction of the cost, so a real one
is better than this at high utilisation.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from andon.slots import SLOTS
from bench.scaling.deployment import Deployment

EVENTS: Final = 150_000
# Whole ways put together of what the stations did.
_WAYS: Final = 50_000
# Not looked at: the queue begins empty.
_WARM_UP: Final = EVENTS // 10
# Above it each shard's share of the streams is drawn from the normal distribution that it comes near.
_DRAWN_ONE_BY_ONE: Final = 200_000


@dataclass(frozen=True, slots=True)
class Station:
    """Work that comes, per second, and what each piece takes, in microseconds: tokens, and responses."""

    tokens: float
    token_us: float
    responses: float
    response_us: float

    @property
    def utilisation(self) -> float:
        """Share of the core that the work takes."""
        return (self.tokens * self.token_us + self.responses * self.response_us) / 1e6

    def scaled(self, factor: float) -> "Station":
        """Return the same with so many times the work."""
        return Station(self.tokens * factor, self.token_us, self.responses * factor, self.response_us)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of one deployment. Delays in seconds: at the hottest shard, and of a token on its whole way."""

    hottest: float
    shard: Station
    worker: Station
    gateway: Station
    shard_delays: list[float]
    delays: list[float]


def delays(station: Station, rng: random.Random, *, events: int = EVENTS) -> list[float]:
    """Simulate a station; return how long each token took there, waiting and being served.

    An overloaded one has no steady state: what is returned then only grows with `events`.
    """
    rate = station.tokens + station.responses
    if rate == 0:
        return [0.0]
    is_token_below = station.tokens / rate
    token_s, response_s = station.token_us / 1e6, station.response_us / 1e6
    now = free_at = 0.0
    found: list[float] = []
    for number in range(events):
        now += rng.expovariate(rate)
        is_token = rng.random() < is_token_below
        free_at = max(now, free_at) + (token_s if is_token else response_s)
        if is_token and number >= _WARM_UP:
            found.append(free_at - now)
    return found or [token_s]


def hottest_share(streams: float, shards: int, rng: random.Random) -> float:
    """Draw where the streams fall; return the load of the fullest shard, the mean being 1.

    A session falls into any of 16,384 slots alike; slots are whole, so that many shards have unequal numbers of them.
    """
    if shards == 1:
        return 1.0
    few, larger = divmod(SLOTS, shards)
    if few == 0:
        raise ValueError(f"{shards} shards are more than there are slots")
    slots = [few + 1] * larger + [few] * (shards - larger)
    if streams <= _DRAWN_ONE_BY_ONE:
        counts = [0] * shards
        for shard in rng.choices(range(shards), weights=slots, k=max(1, round(streams))):
            counts[shard] += 1
        return max(counts) * shards / max(1, round(streams))
    means = [streams * own / SLOTS for own in slots]
    return max(rng.gauss(mean, math.sqrt(mean)) for mean in means) * shards / streams


def simulate(made: Deployment, *, seed: int = 1) -> Simulated:
    """Simulate one deployment; a cluster of as many shards as there can be, where more are wanted."""
    rng = random.Random(seed)
    load, figures = made.load, made.load.figures
    hottest = hottest_share(load.streams, min(made.shards.number, SLOTS), rng)

    def station(number: int, tokens: float, token_us: float, response_us: float) -> Station:
        return Station(tokens / number, token_us, load.responses / number, response_us)

    shard = station(
        min(made.shards.number, SLOTS), load.tokens, figures.token_redis_us, figures.response_redis_us
    ).scaled(hottest)
    worker = station(made.workers.number, load.tokens, figures.token_worker_us, figures.response_worker_us)
    gateway = station(made.gateways.number, load.delivered, figures.token_gateway_us, figures.response_gateway_us)
    each = [delays(one, rng) for one in (worker, shard, gateway)]
    # The flows mix at every station, so a token's luck at one says nothing of the next.
    hops_s = load.assumed.round_trip_s
    whole = [sum(rng.choice(found) for found in each) + hops_s for _ in range(_WAYS)]
    return Simulated(hottest, shard, worker, gateway, sorted(each[1]), sorted(whole))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))]
