"""Server-sent events, read as the standard says: what a browser would make of a stream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec


@dataclass(frozen=True, slots=True)
class Sent:
    """One event, or one comment (`name` is then empty and `data` what it says)."""

    name: str
    data: str

    @property
    def event(self) -> dict[str, Any]:
        """The data, parsed."""
        event: dict[str, Any] = msgspec.json.decode(self.data)
        return event


async def sent(reply: httpx2.Response) -> AsyncIterator[Sent]:
    """Read events and comments as they come, to the end of the body."""
    name, data = "", ""
    async for line in reply.aiter_lines():
        field, _, value = line.partition(": ")
        match field:
            case "event":
                name = value
            case "data":
                assert not data, "one line of data an event"
                data = value
            case "" if line:
                yield Sent("", value)
            case "":
                yield Sent(name, data)
                name, data = "", ""
            case _:
                raise AssertionError(f"a line that is none of ours: {line!r}")


async def events(reply: httpx2.Response) -> list[Sent]:
    """Read to the end; return the events without the comments."""
    return [one async for one in sent(reply) if one.name]


async def text_begun(stream: AsyncIterator[Sent], *, deltas: int = 3) -> list[dict[str, Any]]:
    """Read until some text has come; return the events so far."""
    so_far: list[dict[str, Any]] = []
    async for one in stream:
        if one.name:
            so_far.append(one.event)
        if [event["type"] for event in so_far].count("response.output_text.delta") >= deltas:
            return so_far
    raise AssertionError(f"the body ended after {so_far[-3:]}")
