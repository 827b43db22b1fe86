import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.stack.client import Client, Event
from tests.stack.process import Process
from tests.stack.prompt import Prompt
from tests.stack.shape import check_order
from tests.stack.stack import Stack

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]

USERS = 16
# One response: a second and a half, unless it is stopped.
TOKENS, RATE = 120, 80.0
MOST_TRIES = 100


class Next:
    """Is true of the first event that comes after it was made."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before = len(client.events)

    def __call__(self, _: Event) -> bool:
        """Tell whether something came."""
        return len(self._client.events) > self._before


class Journey:
    """One response as its user lives through it: created, watched, now and then stopped, over whatever sockets."""

    def __init__(self, stack: Stack, session: str, chance: random.Random) -> None:
        self._stack = stack
        self._session = session
        self._chance = chance
        self.prompt = Prompt(tokens=TOKENS, rate=RATE)
        # The number of deltas after which it is stopped; None: never.
        self.stops_after = chance.randrange(TOKENS // 2) if chance.random() < 0.4 else None
        self.stop_accepted = False
        self.response_id: str | None = None
        self.frames: list[str] = []
        self.sockets = 0

    @property
    def events(self) -> list[Event]:
        """Return the events that were put together."""
        return [msgspec.json.decode(frame) for frame in self.frames]

    async def go(self) -> None:
        """Go on to the end, from gateway to gateway."""
        while not self._is_over():
            self.sockets += 1
            assert self.sockets < MOST_TRIES
            running = [n for n, gateway in enumerate(self._stack.gateways) if not gateway.end_is_expected]
            try:
                async with self._stack.connect(self._chance.choice(running), session=self._session) as client:
                    await self._use(client)
            except (OSError, InvalidHandshake, EOFError):
                continue  # it went away between our choice and its answer
            except ConnectionClosed as closed:
                # It went away between what we heard and what we say to it.
                if closed.rcvd is None or closed.rcvd.code != 1012:
                    raise

    def _is_over(self) -> bool:
        return bool(self.frames) and msgspec.json.decode(self.frames[-1])["type"] in {
            "response.completed",
            "response.incomplete",
        }

    async def _use(self, client: Client) -> None:
        """Use one socket until it closes or all is over."""
        if self.response_id is None:
            # Sent again after a close that left it unanswered: the same event id, so the same response.
            await client.create(self.prompt.body, event_id=self.prompt.key)
        else:
            await client.send("response.retrieve", response_id=self.response_id, starting_after=len(self.frames) - 1)
        asked = False
        while not self._is_over():
            try:
                await client.until(Next(client))
            except AssertionError:
                assert client.close is not None, "nothing came, and the socket is open"
                assert client.close[0] == 1012, client.close
                return
            frame, event = client.frames[-1], client.events[-1]
            assert event["type"] not in {"error", "response.failed"}, event
            if event["type"] == "response.cancel.accepted":
                self.stop_accepted = True
            if event.get("sequence_number") is None:
                continue
            self.response_id = event["response_id"]
            assert event["sequence_number"] == len(self.frames)
            self.frames.append(frame)
            is_due = self.stops_after is not None and len(self.frames) > self.stops_after
            if is_due and not asked and not self.stop_accepted:
                asked = True
                await client.cancel(response_id=self.response_id)


async def replace(old: Process, start: Callable[[], Awaitable[Process]]) -> None:
    """Start a new one, then end the old one with SIGTERM; it drains and exits with 0."""
    await start()
    assert await old.stop() == 0


@pytest.mark.timeout(120)
async def test_a_rolling_restart_under_load_loses_no_event_and_no_stop(own_stack: MakeStack, session: str) -> None:
    """All gateways and all workers are replaced, one after another: each text is whole, each stop took effect.

    And each was asked of the model once: what a draining worker had begun, it finished.
    """
    chance = random.Random(12)
    async with own_stack(gateways=2, workers=2, ANDON_DRAIN_S="8") as stack:
        rolled = asyncio.Event()
        journeys: list[Journey] = []

        async def live(user: int) -> None:
            while not rolled.is_set():
                journey = Journey(stack, f"{session}-{user}", chance)
                journeys.append(journey)
                await journey.go()

        async with asyncio.TaskGroup() as users:
            for user in range(USERS):
                users.create_task(live(user))
            for gateway, worker in zip(list(stack.gateways), list(stack.workers), strict=True):
                await replace(gateway, stack.start_gateway)
                await replace(worker, stack.start_worker)
            rolled.set()

        statuses: Counter[str] = Counter()
        for journey in journeys:
            check_order(journey.events)
            ending = journey.events[-1]["response"]
            statuses[ending["status"]] += 1
            assert len((await stack.meter.read(journey.prompt.key)).requests) <= 1
            text = "".join(e["delta"] for e in journey.events if e["type"] == "response.output_text.delta")
            if ending["status"] == "completed":
                assert text == journey.prompt.text()
                assert not journey.stop_accepted
            else:
                assert journey.prompt.text().startswith(text)
                assert journey.stops_after is not None
        # Enough of each to mean something, and some that really had to move.
        assert statuses["completed"] > USERS
        assert statuses["cancelled"] > USERS / 4
        assert sum(journey.sockets > 1 for journey in journeys) > 2
