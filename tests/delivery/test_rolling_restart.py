import asyncio
import random
import signal
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
from tests.stack.stack import Gateway, Stack
from tests.stack.waiting import wait_until

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]

USERS = 16
# One response: a second and a half, unless it is stopped.
TOKENS, RATE = 120, 80.0
MOST_TRIES = 100
TIME_LIMIT_S = 180


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
        # Where the first socket goes; None: anywhere. And the socket, counted from 1, before which nothing is stopped.
        self._first: Gateway | None = None
        self._stops_from_socket = 1

    @classmethod
    def held(cls, stack: Stack, session: str, chance: random.Random, gateway: Gateway) -> "Journey":
        """Make one that does not end before this gateway has closed it: only then, and at once, is it stopped."""
        journey = cls(stack, session, chance)
        journey.prompt = Prompt(tokens=int(RATE) * TIME_LIMIT_S, rate=RATE)
        journey.stops_after = 0
        journey._first, journey._stops_from_socket = gateway, 2
        return journey

    @property
    def events(self) -> list[Event]:
        """Return the events that were put together."""
        return [msgspec.json.decode(frame) for frame in self.frames]

    async def go(self) -> None:
        """Go on to the end, from gateway to gateway."""
        while not self._is_over():
            self.sockets += 1
            assert self.sockets < MOST_TRIES
            try:
                async with self._stack.connect(self._choice(), session=self._session) as client:
                    await self._use(client)
            except (OSError, InvalidHandshake, EOFError):
                continue  # it went away between our choice and its answer
            except ConnectionClosed as closed:
                # It went away between what we heard and what we say to it.
                if closed.rcvd is None or closed.rcvd.code != 1012:
                    raise

    def _choice(self) -> int:
        """Choose a gateway by its number."""
        if self._first is not None and self.sockets == 1:
            return self._stack.gateways.index(self._first)
        return self._chance.choice([n for n, g in enumerate(self._stack.gateways) if not g.end_is_expected])

    def _wants_to_stop(self) -> bool:
        return (
            self.stops_after is not None
            and len(self.frames) > self.stops_after
            and self.sockets >= self._stops_from_socket
        )

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
            if self._wants_to_stop() and not asked and not self.stop_accepted:
                asked = True
                await client.cancel(response_id=self.response_id)


async def replace(old: Process, start: Callable[[], Awaitable[Process]]) -> None:
    """Start a new one, then end the old one with SIGTERM; it drains and exits with 0."""
    await start()
    old.end_is_expected = True
    old.send_signal(signal.SIGTERM)
    assert await old.ended(60) == 0


@pytest.mark.timeout(TIME_LIMIT_S)
async def test_a_rolling_restart_under_load_loses_no_event_and_no_stop(own_stack: MakeStack, session: str) -> None:
    """All gateways and all workers are replaced, one after another: each text is whole, each stop took effect.

    And each was asked of the model once: what a draining worker had begun, it finished. Each gateway has somebody to
    move, for one answer does not end before.
    """
    chance = random.Random(12)
    async with own_stack(gateways=2, workers=2, ANDON_DRAIN_S="30") as stack:
        rolled = asyncio.Event()
        journeys: list[Journey] = []
        statuses: Counter[str] = Counter()

        def is_enough() -> bool:
            """Whether there was enough of each to mean something."""
            return statuses["completed"] > USERS and statuses["cancelled"] > USERS / 4

        async def live(user: int) -> None:
            while not (rolled.is_set() and is_enough()):
                journey = Journey(stack, f"{session}-{user}", chance)
                journeys.append(journey)
                await journey.go()
                statuses[journey.events[-1]["response"]["status"]] += 1

        async with asyncio.TaskGroup() as users:
            for user in range(USERS):
                users.create_task(live(user))
            for gateway, worker in zip(list(stack.gateways), list(stack.workers), strict=True):
                held = Journey.held(stack, f"{session}-{gateway.name}", chance, gateway)
                journeys.append(held)
                holding = users.create_task(held.go())
                await wait_until(lambda: len(held.frames) > 3, what="an answer comes")  # noqa: B023
                await replace(gateway, stack.start_gateway)
                # Stopped by then: no drain of a worker could wait for it.
                await holding
                assert held.sockets > 1
                await replace(worker, stack.start_worker)
            rolled.set()

        for journey in journeys:
            check_order(journey.events)
            ending = journey.events[-1]["response"]
            assert len((await stack.meter.read(journey.prompt.key)).requests) <= 1
            text = "".join(e["delta"] for e in journey.events if e["type"] == "response.output_text.delta")
            if ending["status"] == "completed":
                assert text == journey.prompt.text()
                assert not journey.stop_accepted
            else:
                assert journey.prompt.text().startswith(text)
                assert journey.stops_after is not None
