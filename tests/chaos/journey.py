"""Journey: one client's response, from its create to its ending, over as many sockets as that takes.

Owns what an application would do: create; when the socket breaks or falls silent, reconnect to the other replica with
`response_id` and `starting_after`. Owns the record of all that was delivered. Does not own when a stop is asked.
"""

import asyncio
import contextlib
import uuid
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.chaos.door import GONE, Event, hear, open_door, say
from tests.stack.client import TERMINAL
from tests.stack.prompt import Prompt

SILENCE_S: Final = 2.0
_BACKOFF_S: Final = 0.05


class Journey:
    """One response and its client. `run` it in a task of its own."""

    def __init__(self, prompt: Prompt, urls: list[str], first: int) -> None:
        # One prompt a create: a create that was never answered may run all the same.
        self.prompts = [prompt]
        self.session = f"chaos-{uuid.uuid4().hex}"
        self.response_id: str | None = None
        self.created = asyncio.Event()
        # Every frame of the response that was delivered, in order; over all sockets.
        self.frames: list[str] = []
        self.ending: Event | None = None
        # Closed with 1011 `job_lost`, or not found any more: Redis lost it.
        self.lost = False
        # What must not be: gaps, repeats, foreign events.
        self.faults: list[str] = []
        self.sockets = 0
        self._urls = urls
        self._at = first
        # Answers to this socket's own cancel, for whoever asked.
        self.socket: ClientConnection | None = None
        self.answers: asyncio.Queue[Event] = asyncio.Queue()

    @property
    def prompt(self) -> Prompt:
        """What was asked last."""
        return self.prompts[-1]

    @property
    def over(self) -> bool:
        """Tell whether there is nothing more to come."""
        return self.ending is not None or self.lost

    @property
    def gave_up(self) -> bool:
        """Tell whether a create was left without an answer."""
        return len(self.prompts) > 1

    async def run(self) -> None:
        """Go on until the ending, by whatever replica."""
        while not self.over:
            with contextlib.suppress(*GONE):
                await self._travel(self._urls[self._at])
            self._at = (self._at + 1) % len(self._urls)
            await asyncio.sleep(_BACKOFF_S)

    async def _travel(self, url: str) -> None:
        """Follow the response over one socket. Raises one of GONE."""
        query: dict[str, str | int] = {"session": self.session}
        if self.response_id is not None:
            query |= {"response_id": self.response_id, "starting_after": len(self.frames) - 1}
        async with open_door(url, **query) as socket:
            self.sockets += 1
            self.socket = socket
            try:
                if self.response_id is None:
                    await self._create(socket)
                await self._follow(socket)
            finally:
                self.socket = None

    async def _create(self, socket: ClientConnection) -> None:
        if self.sockets > 1:
            self.prompts.append(Prompt(model=self.prompt.model, tokens=self.prompt.tokens, rate=self.prompt.rate))
        await say(socket, "response.create", **self.prompt.body)

    async def _follow(self, socket: ClientConnection) -> None:
        while not self.over:
            try:
                frame, event = await hear(socket, SILENCE_S)
            except ConnectionClosed as closed:
                if closed.rcvd is not None and (closed.rcvd.code, closed.rcvd.reason) == (1011, "job_lost"):
                    self.lost = True
                    return
                raise
            if event["type"].startswith("response.cancel."):
                self.answers.put_nowait(event)
            elif event["type"] == "error":
                await self._refused(event)
                return
            else:
                self._take(frame, event)

    async def _refused(self, error: Event) -> None:
        if error.get("event_id"):
            self.answers.put_nowait(error)  # of the cancel
        elif error["error"]["code"] == "response_not_found":
            self.lost = True
        elif error["status"] not in {429, 503}:
            self.faults.append(f"{self.response_id}: refused with {error}")

    def _take(self, frame: str, event: Event) -> None:
        if self.response_id is None:
            self.response_id = event["response_id"]
            self.created.set()
        if event["response_id"] != self.response_id:
            self.faults.append(f"{self.response_id}: got an event of {event['response_id']}")
        if event["sequence_number"] != len(self.frames):
            self.faults.append(f"{self.response_id}: {event['sequence_number']} came for {len(self.frames)}")
        self.frames.append(frame)
        if event["type"] in TERMINAL:
            self.ending = event
