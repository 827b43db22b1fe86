"""Socket: one client's WebSocket.

Owns what the client's frames become, what it was let in with, and the decision to close. Does not own whose turn it is
(`gateway.dispatcher`), what goes out when (`gateway.sender`), nor the wire (`gateway.open_socket`), which always reads:
a paused reader would hide the client's pongs, and a healthy client be cut.

Guarantees: every frame gets its answer; a cancel's answers come before the close; after a stop the terminal event
comes first, then close 1000 `stopped`, unless something else is live here or the client asked to keep the socket. A
cancel whose client leaves before it is answered stops all the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, assert_never

import msgspec
import structlog

from andon.answers import pong, refreshed, steer_failed
from andon.audit import Asker
from andon.closecodes import CLOSE_CODES, STOPPED_REASON, CloseCode
from andon.errors import OverloadedError, RequestError, RetryLaterError, error_event
from andon.frames import encode
from andon.ids import SessionName, SocketId, new_socket_id
from andon.lifetime import Spawned
from andon.logs import about
from andon.protocol import Cancel, Command, Create, Ping, Refresh, Refusal, Retrieve, Steer, parse_cancel, parse_frame
from andon.response import Status
from andon.settings import Settings
from andon.store import Store
from gateway.attachment import Attachment
from gateway.attachments import Attachments
from gateway.auth.permit import Permit
from gateway.commands import Commands
from gateway.dispatcher import Dispatcher
from gateway.doorkeeper import Doorkeeper
from gateway.hub import Hub
from gateway.once import Once
from gateway.open_socket import OpenSocket
from gateway.outbox import Outbox
from gateway.seats import Seat
from gateway.sender import Sender
from gateway.stops import Stops

_log = structlog.get_logger(__name__)


class OnStop(StrEnum):
    """What a stop does to the socket."""

    CLOSE = "close"
    KEEP = "keep"


class Means(msgspec.Struct, frozen=True):
    """What all sockets of a gateway share."""

    doorkeeper: Doorkeeper
    store: Store
    hub: Hub
    stops: Stops
    settings: Settings
    once: Once
    # Told when nothing of a socket is left.
    on_over: Callable[["ClientSocket"], None]


class ClientSocket:
    """One accepted WebSocket. `begin` it."""

    # Thousands share a process, most of them idle: what only work needs is made when there is some.
    __slots__ = (
        "_asker",
        "_attachments",
        "_dispatcher",
        "_has_lapsed",
        "_id",
        "_is_refreshing",
        "_means",
        "_on_stop",
        "_open_cancels",
        "_sender",
        "_session",
        "_spawn",
        "_stopped",
        "_wire",
        "permit",
        "seat",
    )

    def __init__(
        self,
        wire: OpenSocket,
        means: Means,
        *,
        permit: Permit,
        asker: Asker,
        session: SessionName,
        on_stop: OnStop,
        seat: Seat,
    ) -> None:
        # What the client was let in with, or has refreshed that with since.
        self.permit: Permit = permit
        self._wire = wire
        self._means = means
        self._asker = asker
        self._session = session
        self._on_stop = on_stop
        # What it takes up until it is over.
        self.seat = seat
        # Made at need: lanes and log lines are named after it.
        self._id: SocketId | None = None
        # Its permit holds no more: nothing that it still says is obeyed.
        self._has_lapsed = False
        # One refresh at a time: each is work that a stranger's token could be made to cause.
        self._is_refreshing = False
        # The dispatcher, reads of logs, waits for settlements.
        self._spawn = Spawned(self._task_crashed)
        self._sender = Sender(wire, means.once, most_bytes=means.settings.outbox_bytes, on_low=self._has_room)
        # Made by the first command.
        self._attachments: Attachments | None = None
        self._dispatcher: Dispatcher | None = None
        # Cancels that were accepted and are not answered `done`: they hold up the close, as commands in hand do.
        self._open_cancels = 0
        # A stop reached this socket.
        self._stopped = False

    def begin(self, first: Retrieve | None = None) -> None:
        """Serve the socket from now on. `first`: done before any frame is read."""
        if first is not None:
            self._accept(first)
        self._wire.begin(self)

    @property
    def _outbox(self) -> Outbox:
        return self._sender.outbox

    @property
    def _socket_id(self) -> SocketId:
        if self._id is None:
            self._id = new_socket_id()
        return self._id

    @property
    def _log(self) -> Any:
        """Return the log, bound to this socket: made at need, for it is a thousand bytes."""
        caller = self.permit.principal
        return _log.bind(socket=self._socket_id, session=self._session, tenant=caller.tenant, subject=caller.subject)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket after what is queued for it."""
        self._outbox.close(code, reason)

    def close_if_too_slow(self, now: float, slow_reader_s: float) -> bool:
        """Close a reader that is too far behind for too long; it can reconnect and retrieve."""
        if self._outbox.closing is not None or not self._outbox.is_too_slow(now, slow_reader_s):
            return False
        self._log.info("socket.too_slow")
        reason, _, _ = CLOSE_CODES[CloseCode.TOO_SLOW]
        self._outbox.drop_and_close(CloseCode.TOO_SLOW, reason)
        return True

    def lapse(self, reason: str) -> None:
        """Close the socket, and obey it no more. It is a detach: its responses go on."""
        if not self._has_lapsed:
            self._has_lapsed = True
            if self._dispatcher is not None:
                self._dispatcher.lapse()
            self._log.info("socket.lapsed", reason=reason)
            self.close(CloseCode.UNAUTHORIZED, reason)

    def _task_crashed(self, _: asyncio.Task[None], error: BaseException) -> None:
        self._log.error("socket.task_crashed", exc_info=error)
        self.close(CloseCode.INTERNAL, "internal")

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def on_text(self, text: bytes) -> None:
        """Take one frame of the client."""
        try:
            command = parse_cancel(text) or parse_frame(text)
            if isinstance(command, Refusal):
                self._answer(error_event(command.error, event_id=command.event_id, stream_id=command.stream_id))
            else:
                self._accept(command)
        except Exception:  # noqa: BLE001  the socket's outermost boundary: other sockets go on
            self._log.exception("socket.crashed")
            self._wire.close(CloseCode.INTERNAL, "internal")

    def on_binary(self) -> None:
        """Refuse a frame that is no text."""
        self._answer(
            error_event(RequestError("invalid_frame", "Binary frames are not read. Send JSON in text frames."))
        )

    def on_gone(self) -> None:
        """Let everything go but its stops: the socket is over, on whichever side it ended."""
        if self._dispatcher is not None:
            self._dispatcher.leave()
        if self._attachments is not None:
            self._attachments.close()
        self._spawn.end(self._over)

    def _over(self) -> None:
        self._means.on_over(self)

    def _accept(self, command: Command) -> None:
        if self._has_lapsed:
            return
        match command:
            case Ping():
                self._answer(pong(command))
            case Steer():
                self._answer(steer_failed(command))
            case Refresh():
                self._start_refresh(command)
            case Create() | Cancel() | Retrieve():
                (self._dispatcher or self._make_dispatcher()).take(command)
            case other:
                assert_never(other)

    def _start_refresh(self, command: Refresh) -> None:
        """Begin a refresh at once: behind other commands it might come too late."""
        if self._is_refreshing:
            message = "A refresh is under way on this socket. Send the next one when it is answered."
            self._refuse(OverloadedError("rate_limit_exceeded", message), command)
        else:
            self._is_refreshing = True
            self._spawn(self._refresh(command))

    async def _refresh(self, command: Refresh) -> None:
        try:
            self.permit = await self._means.doorkeeper.renew(self.permit, command.token.get_secret_value())
            self._answer(refreshed(self.permit.expires_at, command.event_id))
        except (RequestError, RetryLaterError) as error:
            self._refuse(error, command)
        finally:
            self._is_refreshing = False

    def _command_done(
        self, command: Create | Cancel | Retrieve, refusal: RequestError | RetryLaterError | None
    ) -> None:
        if refusal is not None:
            self._refuse(refusal, command)
        self._close_if_over()

    def _refuse(self, error: RequestError | RetryLaterError, command: Create | Cancel | Retrieve | Refresh) -> None:
        lane = command.stream_id if isinstance(command, Create) else None
        self._answer(error_event(error, event_id=command.event_id, stream_id=lane))

    def _answer(self, event: Mapping[str, object]) -> None:
        self._outbox.put(encode(event))

    def _make_dispatcher(self) -> Dispatcher:
        means = self._means
        self._attachments = Attachments(
            store=means.store,
            hub=means.hub,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=self._response_ended,
            on_lost=self._response_lost,
        )
        commands = Commands(
            self._socket_id,
            caller=lambda: self.permit.principal,
            asker=self._asker,
            session=self._session,
            store=means.store,
            stops=means.stops,
            attachments=self._attachments,
            settings=means.settings,
            answer=self._answer,
            spawn=self._spawn,
            on_cancel=self._cancel_went_on,
        )
        self._dispatcher = Dispatcher(commands, spawn=self._spawn, on_done=self._command_done)
        return self._dispatcher

    # ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _cancel_went_on(self, is_done: bool) -> None:
        """Take note that a cancel was accepted, or got its last answer."""
        self._stopped = True
        self._open_cancels += -1 if is_done else 1
        self._close_if_over()

    def _response_ended(self, attachment: Attachment) -> None:
        if attachment.status is Status.CANCELLED:
            self._stopped = True
        self._close_if_over()

    def _response_lost(self, attachment: Attachment) -> None:
        """End the socket: Redis itself lost the job, so no terminal event will come."""
        self._log.warning("socket.job_lost", **about(attachment.response_id, attachment.whose))
        self.close(CloseCode.INTERNAL, "job_lost")

    def _close_if_over(self) -> None:
        """Close after a stop, once its answers are given and nothing else is live here."""
        if not self._stopped or self._on_stop is not OnStop.CLOSE:
            return
        in_hand = 0 if self._dispatcher is None else self._dispatcher.in_hand
        if not (self._attachments or self._open_cancels or in_hand):
            self.close(CloseCode.DONE, STOPPED_REASON)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def on_writable(self) -> None:
        """Go on with what is queued."""
        self._sender.flush()

    def _has_room(self) -> None:
        """Let those go on that read the log for this socket."""
        if self._attachments is not None:
            self._attachments.on_drained()
