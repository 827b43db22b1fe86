"""Stopping: one stop, asked until somebody has answered it.

Owns how it is asked (on the response's own socket, by a second device, for the whole session), the repeat on the
other replica, and what counts as acknowledged. Does not own what became of it (`tests.chaos.account`).
"""

import asyncio
import contextlib
import itertools
from enum import StrEnum
from typing import Final

import msgspec

from andon import keys
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.ids import ResponseId
from tests.chaos.door import GONE, Event, hear, open_door, say
from tests.chaos.journey import Journey

_ANSWER_S: Final = 2.0
_BACKOFF_S: Final = 0.05
_numbers = itertools.count()


class How(StrEnum):
    """Who asks."""

    OWN_SOCKET = "own_socket"
    DEVICE = "device"
    SESSION = "session"


class Acknowledged(msgspec.Struct, frozen=True):
    """A stop that was answered with `response.cancel.accepted`."""

    response_id: str
    recorded_at: float
    # Length of the log when the answer had come; None where Redis did not say.
    length: int | None
    # No replica had it, where there are any: a failover may lose the mark, and its gateway asserts it again.
    is_unsafe: bool = False


class Stopping:
    """A stop of one journey. `run` it once its response is created."""

    def __init__(self, journey: Journey, how: How, urls: list[str], first: int) -> None:
        self.journey = journey
        self.acknowledged: list[Acknowledged] = []
        self.too_late = False
        # Times that the response was said not to exist, while its client was not told so.
        self.unknown = 0
        self._how = how
        self._urls = urls
        self._at = first

    async def run(self, database: Database) -> None:
        """Ask until it is acknowledged, or there is nothing left to stop."""
        while not self.journey.over:
            with contextlib.suppress(*GONE):
                answer = await self._ask()
                if await self._learn(answer, database):
                    return
            self._at = (self._at + 1) % len(self._urls)
            await asyncio.sleep(_BACKOFF_S)

    async def _ask(self) -> Event:
        event_id = f"stop-{next(_numbers)}"
        own = self.journey.socket
        if self._how is How.OWN_SOCKET and own is not None:
            await say(own, "response.cancel", response_id=self.journey.response_id, event_id=event_id)
            async with asyncio.timeout(_ANSWER_S):
                while (answer := await self.journey.answers.get()).get("event_id") != event_id:
                    pass
            return answer
        whole = self._how is How.SESSION
        members = {} if whole else {"response_id": self.journey.response_id}
        query = {"session": self.journey.session} if whole else {}
        async with open_door(self._urls[self._at], on_stop="keep", **query) as socket:
            await say(socket, "response.cancel", event_id=event_id, **members)
            while (answer := (await hear(socket, _ANSWER_S))[1]).get("event_id") != event_id:
                pass
            return answer

    async def _learn(self, answer: Event, database: Database) -> bool:
        """Take in an answer; tell whether it was one."""
        match answer["type"]:
            case "response.cancel.accepted" | "response.cancel.done":
                for stop in answer["stops"]:
                    rid = stop["response_id"]
                    length = await _length(database, rid)
                    self.acknowledged.append(
                        Acknowledged(rid, stop["recorded"], length, is_unsafe=stop["replicated"] is False)
                    )
                return True
            case "response.cancel.failed":
                self.too_late = True
                return True
            case _:
                # 503: nothing was recorded; 404: Redis lost the job, and the journey's socket will say so, or it was
                # asked of a master that had been left behind.
                self.unknown += answer["error"]["code"] == "response_not_found" and not self.journey.over
                return False


async def clear_up(journey: Journey, urls: list[str]) -> None:
    """Stop all that a journey's session still runs, through whatever replica answers."""
    for url in itertools.cycle(urls):
        with contextlib.suppress(*GONE):
            async with open_door(url, on_stop="keep", session=journey.session) as socket:
                await say(socket, "response.cancel", event_id="clear_up")
                while (answer := (await hear(socket, _ANSWER_S))[1]).get("event_id") != "clear_up":
                    pass
            if answer["type"] != "error":
                return
        await asyncio.sleep(_BACKOFF_S)


async def _length(database: Database, response_id: str) -> int | None:
    try:
        return int(await database.call("LLEN", keys.log(ResponseId(response_id))))
    except StoreUnavailable:
        return None
