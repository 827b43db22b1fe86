"""Answering: an accepted response as the answer to a request, streamed or waited for.

Owns what a client's leaving does, and the endings that are no ending of the response. Does not own the words: how an
event or the final Response is written is its caller's. Guarantees: a client that leaves a request of its own create
stops that response, unless it asked otherwise; whatever ends a request on our side is no stop.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from andon.audit import Asker
from andon.errors import RetryLaterError
from andon.settings import Settings
from andon.store import Store
from gateway.auth.permit import Permit
from gateway.http.create_request import CreateRequest, OnDisconnect
from gateway.http.creator import Accepted
from gateway.http.departure import while_there
from gateway.http.event_stream import RESPONSE_HEADER, EventStream, Writer, early_end
from gateway.http.follower import Follower
from gateway.http.refusal import nobody_reads, refusal, restarting
from gateway.http.waits import Waits
from gateway.hub import Hub
from gateway.sockets import Sockets
from gateway.stops import Stops

# Why a stop was asked for by closing the connection.
DISCONNECTED: Final = "disconnected"


class Answering:
    """Answers, and what they need."""

    def __init__(self, *, store: Store, hub: Hub, stops: Stops, sockets: Sockets, settings: Settings) -> None:
        self._store = store
        self._hub = hub
        self._stops = stops
        self._sockets = sockets
        self._settings = settings
        self.waits = Waits()

    def check_taking(self) -> None:
        """Raise RetryLaterError while this replica takes nothing new."""
        if self._sockets.is_draining:
            raise restarting()

    def stream(self, accepted: Accepted, permit: Permit, writer: Writer, *, starting_after: int = -1) -> EventStream:
        """Stream the events to whoever only looks on: it stops nothing by leaving."""
        return self._stream(accepted, permit, writer, _nothing, starting_after)

    def stream_own(
        self, asked: CreateRequest, accepted: Accepted, permit: Permit, leaver: Asker, writer: Writer
    ) -> EventStream:
        """Stream the events to the client that created the response. `leaver`: who stops it by leaving."""
        return self._stream(accepted, permit, writer, self._on_left(asked, accepted, leaver), -1)

    async def wait_own(
        self,
        request: Request,
        asked: CreateRequest,
        accepted: Accepted,
        leaver: Asker,
        write: Callable[[bytes], Response],
    ) -> Response:
        """Wait for the end on behalf of the client that created it; answer what `write` makes of the last event."""
        # Without its permit: a token that expires while its request waits for the end takes nothing from it.
        follower = self._follower(accepted, None, -1)
        try:
            with self.waits.waiting(follower):
                last = await while_there(request.receive, _last_frame(follower))
        except ClientDisconnect:
            await self._on_left(asked, accepted, leaver)()
            return nobody_reads()
        headers: dict[str, str] = {RESPONSE_HEADER: accepted.response_id}
        error = early_end(follower)
        if error is None:
            answer = write(last)
            answer.headers.update(headers)
            return answer
        if isinstance(error, RetryLaterError) and asked.create.event_id is None:
            # A repeat would be another response, and this one goes on: the SDK must not repeat by itself.
            headers["x-should-retry"] = "false"
        return refusal(error, headers)

    def _on_left(self, asked: CreateRequest, accepted: Accepted, leaver: Asker) -> Callable[[], Awaitable[None]]:
        if asked.on_disconnect is OnDisconnect.DETACH:
            return _nothing
        return partial(self._stops.leave, [accepted.response_id], leaver, reason=DISCONNECTED)

    def _stream(
        self,
        accepted: Accepted,
        permit: Permit,
        writer: Writer,
        on_left: Callable[[], Awaitable[None]],
        starting_after: int,
    ) -> EventStream:
        return EventStream(
            self._follower(accepted, permit, starting_after),
            writer,
            sockets=self._sockets,
            keepalive_s=self._settings.sse_keepalive_s,
            on_left=on_left,
        )

    def _follower(self, accepted: Accepted, permit: Permit | None, starting_after: int) -> Follower:
        return Follower(
            accepted.response_id,
            permit=permit,
            starting_after=starting_after,
            abandon_s=accepted.abandon_s,
            whose=accepted.whose,
            store=self._store,
            hub=self._hub,
            most_bytes=self._settings.outbox_bytes,
        )


async def _last_frame(follower: Follower) -> bytes:
    """Follow to the end; return the last frame."""
    last = b""
    async with follower.open():
        while (frame := await follower.next()) is not None:
            last = frame
    return last


async def _nothing() -> None:
    """Do what the leaving of a client does that is only a detach."""
