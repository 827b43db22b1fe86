"""Conversation: sockets that say what they should not, and what each must be answered.

Owns the playing and the account. Every frame is due an answer that is known beforehand: a frame that the parser
refuses exactly one `error`, a ping one `pong`, a cancel one answer and, if it was accepted, one `done`; a create or a
retrieve at most one `error`. Each answer is held against the published contract.
"""

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any, Final, assert_never

import jsonschema
import msgspec
from websockets.exceptions import ConnectionClosed

from andon.protocol import Cancel, Create, Ping, Refresh, Refusal, Retrieve, Steer, parse_frame
from tests.fuzz import size
from tests.fuzz.frames import CHEAP, LARGEST_FRAME_BYTES, Said
from tests.stack.client import Client, Event
from tests.stack.stack import Stack

_WAIT_S: Final = 30.0
# No close frame: the gateway ends the connection with what came after the bad frame unread, and TCP then drops what is
# under way to the client, a close frame too.
_RESET: Final = 1006
_LAST_PING: Final = "the last ping"
_LAST_CANCEL: Final = "the last cancel"


class Seat(msgspec.Struct, frozen=True):
    """Where a socket of the conversation sits."""

    gateway: int
    session: str
    on_stop: str


class Speaker:
    """One socket: what it said, and what it is due."""

    def __init__(self, client: Client, seat: Seat) -> None:
        self.client = client
        self._keeps = seat.on_stop == "keep"
        self._number = 0
        # Answers due, by `event_id`: exactly so many of a type, and at most so many.
        self._exactly: Counter[tuple[str | None, str]] = Counter()
        self._cancels: Counter[str | None] = Counter()
        self._perhaps: Counter[str | None] = Counter()
        # Close codes that this speaker asked for.
        self._deserved: set[int] = set() if self._keeps else {1000}

    async def say(self, said: Said, response_id: str) -> None:
        """Send one frame; nothing if the socket is closed."""
        payload = said.payload
        if isinstance(payload, str):
            payload = payload.replace("$rid", response_id)
            payload = self._named(payload)
        self._expect(payload, said)
        size.sent[f"frame, {said.how}"] += 1
        with contextlib.suppress(ConnectionClosed):  # judged by its code at the end
            match said.how:
                case "text" | "binary":
                    await self.client.socket.send(payload)
                case "fragments":
                    assert isinstance(payload, str)
                    step = len(payload) // 8 + 1
                    # An empty piece among them is legal, and rare.
                    await self.client.socket.send(
                        ["", *(payload[at : at + step] for at in range(0, len(payload), step))]
                    )
                case "raw_text":
                    await self.client.socket.send(payload, text=True)
                case other:
                    assert_never(other)

    def _named(self, text: str) -> str:
        """Give a frame an `event_id` of its own, so that its answer is known; `same` is left, for repeats."""
        try:
            event = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return text
        if not isinstance(event, dict) or event.get("event_id", "") == "same":
            return text
        if isinstance(event.get("event_id", ""), str) and len(event.get("event_id", "")) < 500:
            self._number += 1
            event["event_id"] = f"e{self._number}"
        return msgspec.json.encode(event).decode()

    def _expect(self, payload: str | bytes, said: Said) -> None:
        if said.how == "raw_text":
            self._deserved |= {1007, _RESET}
            return
        if len(payload) > LARGEST_FRAME_BYTES:
            self._deserved |= {1009, _RESET}
            return
        if said.how == "binary":
            self._exactly[None, "error"] += 1
            return
        match parse_frame(payload):
            case Refusal(event_id=key):
                self._exactly[key, "error"] += 1
            case Ping(event_id=key):
                self._exactly[key, "pong"] += 1
            case Steer(event_id=key):
                self._exactly[key, "response.steer.failed"] += 1
            case Cancel(event_id=key):
                self._cancels[key] += 1
            case Retrieve(event_id=key) | Create(event_id=key) | Refresh(event_id=key):
                self._perhaps[key] += 1
            case other:
                assert_never(other)

    async def end(self) -> None:
        """Stop all of the session, and read to the end of what was said; then judge."""
        with contextlib.suppress(ConnectionClosed):
            await self.client.send("ping", event_id=_LAST_PING)
            await self.client.cancel(event_id=_LAST_CANCEL)
        self._exactly[_LAST_PING, "pong"] += 1
        self._cancels[_LAST_CANCEL] += 1
        try:
            await self.client.until(self._is_over, _WAIT_S)
        except AssertionError:
            if self.client.close is None:
                raise
        self._judge()

    def _is_over(self, _: Event) -> bool:
        """Whether all answers have come: those of cancels come last, and each accepted one has a `done`."""
        told = Counter(event["type"] for event in self.client.events)
        ended = told["response.cancel.done"] == told["response.cancel.accepted"]
        last = {event["type"] for event in self.client.events if event.get("event_id") == _LAST_CANCEL}
        return ended and not last.isdisjoint({"response.cancel.done", "response.cancel.failed", "error"})

    def _judge(self) -> None:
        got: Counter[tuple[str | None, str]] = Counter()
        for event in self.client.events:
            check(event)
            got[event.get("event_id"), event["type"]] += 1
        if self.client.close is not None:
            assert self.client.close[0] in self._deserved, f"closed with {self.client.close}, for no reason given"
            size.answered[f"closed {self.client.close[0]}"] += 1
        is_whole = self.client.close is None
        keys = {key for key, _ in (*self._exactly, *got)} | set(self._cancels) | set(self._perhaps)
        for key in keys:
            self._judge_key(key, got, is_whole=is_whole)

    def _judge_key(self, key: str | None, got: Counter[tuple[str | None, str]], *, is_whole: bool) -> None:
        for type_ in ("pong", "response.steer.failed"):
            assert got[key, type_] <= self._exactly[key, type_], (key, type_, got)
            assert not is_whole or got[key, type_] == self._exactly[key, type_], (key, type_, got)
        answered = got[key, "response.cancel.accepted"] + got[key, "response.cancel.failed"]
        errors = got[key, "error"] - self._exactly[key, "error"]
        assert answered <= self._cancels[key]
        assert errors <= self._cancels[key] - answered + self._perhaps[key], (key, got, self._exactly)
        if is_whole:
            assert errors >= self._cancels[key] - answered, (key, got, self._exactly)
            assert got[key, "response.cancel.done"] == got[key, "response.cancel.accepted"]


# ── the contract ─────────────────────────────────────────────────────────────────────────────────────────────────────

_DOCUMENT: Final = msgspec.json.decode((Path(__file__).parents[2] / "docs" / "asyncapi.json").read_bytes())
_MESSAGES: Final[dict[str, Any]] = _DOCUMENT["components"]["messages"]
_VALIDATORS: Final = {
    name: jsonschema.Draft7Validator({**message["payload"], "components": _DOCUMENT["components"]})
    if "$ref" not in message["payload"]
    else jsonschema.Draft7Validator({"allOf": [message["payload"]], "components": _DOCUMENT["components"]})
    for name, message in _MESSAGES.items()
}


def check(event: Event) -> None:
    """Hold one event of the server against the published contract."""
    _VALIDATORS.get(event["type"], _VALIDATORS["response.event"]).validate(event)
    size.answered[event["type"] if event["type"] in _VALIDATORS else "other events"] += 1


async def play(stack: Stack, seats: list[Seat], steps: list[tuple[int, Said]], last: Said | None) -> None:
    """Play one conversation, and leave nothing running."""
    async with contextlib.AsyncExitStack() as opened:
        speakers = []
        for seat in seats:
            client = await opened.enter_async_context(
                stack.connect(seat.gateway, session=seat.session, on_stop=seat.on_stop)
            )
            speakers.append(Speaker(client, seat))
        metadata = CHEAP | {"sim_tokens": "40", "sim_rate": "400"}
        response_id = await speakers[0].client.start({"model": "sim", "input": "hi", "metadata": metadata})
        for place, said in steps:
            await speakers[place % len(speakers)].say(said, response_id)
        if last is not None:
            await speakers[-1].say(last, response_id)
        async with asyncio.TaskGroup() as group:
            for speaker in speakers:
                group.create_task(speaker.end())
