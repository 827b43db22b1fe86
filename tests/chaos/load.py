"""Load: streams and stops, spread over the time in which something is broken.

Owns the schedule: which streams begin when, which of them are stopped, when, how, and on which replica. It is decided
by a seed, so a run can be repeated; what the machine makes of it differs.
"""

import asyncio
import random
from typing import Final

import msgspec

from tests.chaos.journey import Journey
from tests.chaos.plant import Plant
from tests.chaos.stopping import How, Stopping, clear_up
from tests.stack.prompt import Prompt

# Streams that are never stopped end by themselves within the run; the others would go on far beyond it, for minutes.
# (The sim makes up an answer when it is asked: more of it would cost it the time in which it is to see closings.)
_ENDLESS_TOKENS: Final = 10_000
_STOPPED_OF_TEN: Final = 7


class Shape(msgspec.Struct, frozen=True):
    """How much load. `seconds`: in which streams begin and stops are asked."""

    streams: int
    seconds: float
    rate: float = 25.0
    # Models of the streams, in turns; what never speaks by itself is always stopped.
    models: tuple[str, ...] = ("sim",)
    seed: int = 1
    # Give up after: a stream that has not ended by then is one without an ending.
    patience_s: float = 30.0


class Load:
    """The journeys and stops of one run."""

    def __init__(self, shape: Shape, plant: Plant) -> None:
        self.journeys: list[Journey] = []
        self.stoppings: list[Stopping] = []
        self._shape = shape
        self._plant = plant
        self._random = random.Random(shape.seed)

    async def run(self) -> None:
        """Run all of it to its end, or to the end of patience."""
        try:
            async with asyncio.timeout(self._shape.seconds + self._shape.patience_s), asyncio.TaskGroup() as group:
                for number in range(self._shape.streams):
                    group.create_task(self._one(number, self._plant.urls))
        except TimeoutError:
            pass  # the account says who has not ended
        # A create that was never answered may have been accepted: its client gave it up, and nobody else will stop it.
        await asyncio.gather(*(clear_up(journey, self._plant.urls) for journey in self.journeys if journey.gave_up))

    async def _one(self, number: int, urls: list[str]) -> None:
        shape, choose = self._shape, self._random
        # Half of the streams run when the trouble begins, the others begin during it.
        begins_s = choose.uniform(0, 0.5) if number % 2 == 0 else choose.uniform(0, 0.7 * shape.seconds)
        stops_s = choose.uniform(begins_s, shape.seconds)
        model = shape.models[number % len(shape.models)]
        is_stopped = model != "sim" or number % 10 < _STOPPED_OF_TEN
        tokens = _ENDLESS_TOKENS if is_stopped else int(shape.rate * (shape.seconds - begins_s + 1))
        journey = Journey(Prompt(model=model, tokens=tokens, rate=shape.rate), urls, number % len(urls))
        how = list(How)[number % len(How)]
        stopping = Stopping(journey, how, urls, choose.randrange(len(urls)))
        await asyncio.sleep(begins_s)
        self.journeys.append(journey)
        async with asyncio.TaskGroup() as group:
            group.create_task(journey.run())
            if is_stopped:
                self.stoppings.append(stopping)
                await asyncio.sleep(stops_s - begins_s)
                await journey.created.wait()
                await stopping.run(self._plant.database)
