"""The test client: a plain `websockets` client of the endpoint that keeps everything it was sent.

Owns one socket, its history and its end. Does not own what should have come. Guarantees: nothing that arrived is lost
or reordered, whatever was waited for; the API key of the worker was in none of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Event = dict[str, Any]

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
EVENT_S = 15.0  # the longest any test waits for one event
_MAX_FRAME_BYTES = 64 * 1024 * 1024


class Client:
    """One open socket. For use by one task."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        # Every frame as it came, and the same parsed.
        self.frames: list[str] = []
        self.events: list[Event] = []
        # Close code and reason, once it was closed.
        self.close: tuple[int, str] | None = None

    # ── saying ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, type_: str, **members: Any) -> None:
        """Send one frame."""
        await self.send_raw(msgspec.json.encode({"type": type_, **members}).decode())

    async def send_raw(self, frame: str | bytes) -> None:
        """Send a frame as it is: text, or binary."""
        await self.socket.send(frame)

    async def create(self, body: dict[str, Any], **members: Any) -> None:
        """Send `response.create`."""
        await self.send("response.create", **body, **members)

    async def start(self, body: dict[str, Any], **members: Any) -> str:
        """Create, and return the id of the response that is created for it."""
        seen = set(self.response_ids())
        await self.create(body, **members)
        created = await self.until(lambda e: e["type"] == "response.created" and e["response_id"] not in seen)
        return str(created["response_id"])

    async def cancel(self, **members: Any) -> None:
        """Send `response.cancel`."""
        await self.send("response.cancel", **members)

    # ── hearing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def event(self, type_: str, timeout_s: float = EVENT_S, **members: Any) -> Event:
        """Return the first event, past or to come, of this type and with these members."""
        return await self.until(lambda event: _has(event, {"type": type_, **members}), timeout_s)

    async def until(self, is_it: Callable[[Event], bool], timeout_s: float = EVENT_S) -> Event:
        """Return the first event, past or to come, for which this is true. Fails if the socket closes first."""
        for event in self.events:
            if is_it(event):
                return event
        try:
            async with asyncio.timeout(timeout_s):
                while (event_ := await self._receive()) is not None:
                    if is_it(event_):
                        return event_
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s:g} s; came: {self._summary()}") from None
        raise AssertionError(f"closed with {self.close} first; came: {self._summary()}")

    async def text_begun(self, response_id: str, *, deltas: int = 3) -> None:
        """Wait until some text of the response has come."""
        await self.until(lambda _: len(self.deltas(response_id)) >= deltas)

    async def ending(self, response_id: str, timeout_s: float = EVENT_S) -> Event:
        """Return the terminal event of a response."""
        return await self.until(lambda e: e["type"] in TERMINAL and e["response_id"] == response_id, timeout_s)

    async def closed(self, timeout_s: float = EVENT_S) -> tuple[int, str]:
        """Receive to the server's close; return its code and reason."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self._receive() is not None:
                    pass
        except TimeoutError:
            raise AssertionError(f"not closed within {timeout_s:g} s; came: {self._summary()}") from None
        assert self.close is not None
        return self.close

    async def _receive(self) -> Event | None:
        if self.close is not None:
            return None
        try:
            frame = await self.socket.recv()
        except ConnectionClosed as closed:
            self.close = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
            return None
        assert isinstance(frame, str), "a gateway sends text frames only"
        event: Event = msgspec.json.decode(frame)
        self.frames.append(frame)
        self.events.append(event)
        return event

    # ── looking back ─────────────────────────────────────────────────────────────────────────────────────────────

    def response_ids(self) -> list[str]:
        """List the responses that were heard of, in the order of their first events."""
        return list(dict.fromkeys(event["response_id"] for event in self.events if "response_id" in event))

    def of(self, response_id: str) -> list[Event]:
        """Return the events of one response in their order."""
        return [event for event in self.events if event.get("response_id") == response_id]

    def frames_of(self, response_id: str) -> list[str]:
        """Return the frames of one response as they came."""
        pairs = zip(self.frames, self.events, strict=True)
        return [frame for frame, event in pairs if event.get("response_id") == response_id]

    def deltas(self, response_id: str) -> list[str]:
        """Return the pieces of output text of one response."""
        return [event["delta"] for event in self.of(response_id) if event["type"] == "response.output_text.delta"]

    def text(self, response_id: str) -> str:
        """Return the output text of one response, joined from its deltas."""
        return "".join(self.deltas(response_id))

    def all(self, type_: str, **members: Any) -> list[Event]:
        """Return the events of this type and with these members."""
        return [event for event in self.events if _has(event, {"type": type_, **members})]

    def place(self, event: Event) -> int:
        """Return at which place an event came."""
        return next(place for place, other in enumerate(self.events) if other is event)

    def _summary(self) -> str:
        return ", ".join(event["type"] for event in self.events[-20:]) or "nothing"


def _has(event: Event, members: dict[str, Any]) -> bool:
    return all(name in event and event[name] == value for name, value in members.items())


class Doors:
    """Opens clients, and sees to it at their end that none of them was shown the secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def open(self, url: str, **query: str | int) -> AbstractAsyncContextManager[Client]:
        """Open a socket to a gateway's `ws://.../v1/responses` for the length of a block."""
        return self.open_as(None, url, **query)

    @asynccontextmanager
    async def open_as(self, token: str | None, url: str, **query: str | int) -> AsyncIterator[Client]:
        """Open a socket with this token."""
        target = f"{url}?{urlencode(query)}" if query else url
        async with connect(
            target,
            additional_headers=None if token is None else {"Authorization": f"Bearer {token}"},
            compression=None,
            proxy=None,
            max_size=_MAX_FRAME_BYTES,
            max_queue=None,
            open_timeout=EVENT_S,
            close_timeout=2.0,
        ) as socket:
            client = Client(socket)
            yield client
        assert token is None or not any(token in frame for frame in client.frames), "a token was sent back"
        assert not any(self._secret in frame for frame in client.frames), "the API key was shown to a client"
