"""Assembly: what a client that is cut again and again has put together.

Owns the reading of one response over many connections, each cut without a closing handshake. Guarantees: it fails at
the first event that is missing, comes twice or comes out of order.
"""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from tests.stack.client import TERMINAL, Client, Event
from tests.stack.prompt import Prompt

# Opens a socket somewhere, with this query.
Open = Callable[..., AbstractAsyncContextManager[Client]]


class Assembly:
    """The frames of one response in their order."""

    def __init__(self) -> None:
        self.response_id = ""
        self.frames: list[str] = []
        self.cuts = 0

    @property
    def events(self) -> list[Event]:
        """Return the events that were put together."""
        return [msgspec.json.decode(frame) for frame in self.frames]

    @property
    def text(self) -> str:
        """Return the text so far."""
        return "".join(event["delta"] for event in self.events if event["type"] == "response.output_text.delta")

    @property
    def last(self) -> int:
        """Return the last sequence number that was seen."""
        return len(self.frames) - 1

    def take(self, client: Client) -> None:
        """Put what a client got behind the rest."""
        for frame, event in zip(client.frames, client.events, strict=True):
            if "sequence_number" not in event:
                continue
            assert event["response_id"] == self.response_id
            assert event["sequence_number"] == len(self.frames)
            self.frames.append(frame)


async def assemble(open_somewhere: Open, prompt: Prompt, *, session: str, cuts: int, chance: random.Random) -> Assembly:
    """Create a response and read it to its end over `cuts` + 1 connections, each cut after a random number of events.

    The numbers are such that the cuts fall over the whole of the response, however its deltas are merged.
    """
    assembly = Assembly()
    async with open_somewhere(session=session) as client:
        assembly.response_id = await client.start(prompt.body)
        await _cut(client, assembly, 1)
    while assembly.cuts < cuts:
        left = prompt.tokens - len(assembly.text.split())
        events = chance.randint(0, 2 * left // (cuts - assembly.cuts))
        # In one of the two ways: by the query, or by a frame.
        by_query = chance.random() < 0.5
        async with open_somewhere(session=session, **(_from(assembly) if by_query else {})) as client:
            if not by_query:
                await client.send("response.retrieve", **_from(assembly))
            await _cut(client, assembly, events)
    async with open_somewhere(session=session, **_from(assembly)) as client:
        await client.until(lambda event: event["type"] in TERMINAL, timeout_s=30)
        assembly.take(client)
    return assembly


def _from(assembly: Assembly) -> dict[str, str | int]:
    return {"response_id": assembly.response_id, "starting_after": assembly.last}


async def _cut(client: Client, assembly: Assembly, events: int) -> None:
    """Read so many events, but not the last ones, then abort: no closing handshake, what was under way is lost."""
    if events:
        await client.until(lambda e: len(client.events) >= events or e["type"] == "response.output_text.done")
    client.socket.transport.abort()
    assembly.take(client)
    assembly.cuts += 1
