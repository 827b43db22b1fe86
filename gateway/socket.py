"""Socket: one client's WebSocket.

Owns what the client's frames become, one dispatcher that has commands done in their order, there only while there are
some, and the decision to close. Does not own what goes out when (`gateway.sender`), nor the wire
(`gateway.open_socket`), which always reads: a paused reader would hide the client's pongs, and a healthy client be cut.

Guarantees: every frame gets its answer; a cancel's answers come before the close; after a stop the terminal event
comes first, then close 1000 `stopped`, unless something else is live here or the client asked to keep the socket. A
cancel whose client leaves before it is answered stops all the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

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
from gateway.commands import BegunCreate, Commands
from gateway.doorkeeper import Doorkeeper
from gateway.hub import Hub
from gateway.once import Once
from gateway.open_socket import OpenSocket
from gateway.outbox import Outbox
from gateway.seats import Seat
from gateway.sender import Sender
from gateway.stops import Begun, Stops

_log = structlog.get_logger(__name__)

# A burst of commands: creates and retrieves over the first bound are refused, cancels only over the second.
_MOST_COMMANDS: Final = 1024
_MOST_COMMANDS_WITH_CANCELS: Final = 2048


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
        "_commands",
        "_has_lapsed",
        "_id",
        "_is_dispatching",
        "_is_refreshing",
        "_means",
        "_on_stop",
        "_sender",
        "_session",
        "_spawn",
        "_stopped",
        "_unanswered",
        "_waiting",
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
        self._commands: Commands | None = None
        # Commands in their order, and what was begun of them; None while there are none. Bounded as above.
        self._waiting: deque[tuple[Create | Cancel | Retrieve, Begun | BegunCreate | None]] | None = None
        self._is_dispatching = False
        # Commands read but not done, and cancels not yet answered `done`: they hold up the close.
        self._unanswered = 0
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
        # A dispatcher that has not come to its first step never will.
        waiting, self._waiting = self._waiting, None
        for command, begun in waiting or ():
            if not isinstance(command, Cancel) or isinstance(begun, BegunCreate):
                continue
            if begun is not None or not self._has_lapsed:
                (self._commands or self._make_commands()).leave(command, begun)
        if self._attachments is not None:
            self._attachments.close()
        self._spawn.end(self._over)

    def _over(self) -> None:
        self._means.on_over(self)

    def _accept(self, command: Command) -> None:
        if self._has_lapsed:
            return
        if isinstance(command, Ping):
            self._answer(pong(command))
            return
        if isinstance(command, Steer):
            self._answer(steer_failed(command))
            return
        if isinstance(command, Refresh):
            self._start_refresh(command)
            return
        bound = _MOST_COMMANDS_WITH_CANCELS if isinstance(command, Cancel) else _MOST_COMMANDS
        if self._waiting is not None and len(self._waiting) >= bound:
            message = f"{bound} commands wait on this socket. Send the command again when some are answered."
            self._refuse(OverloadedError("rate_limit_exceeded", message), command)
        else:
            self._unanswered += 1
            begun: Begun | BegunCreate | None = None
            if not self._is_dispatching:
                # Nothing waits before it: its stop, or its submit, leaves within this very call.
                begun = self._begin(command)
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append((command, begun))
            if begun is not None:
                # Nothing is left to do until it is answered.
                self._is_dispatching = True
                begun.reply.add_done_callback(self._go_on)
            elif not self._is_dispatching:
                self._is_dispatching = True
                self._spawn(self._dispatch())

    def _begin(self, command: Create | Cancel | Retrieve) -> Begun | BegunCreate | None:
        """Send what may be sent of a command within this call; None: all of it is done in its turn."""
        match command:
            case Cancel():
                return (self._commands or self._make_commands()).begin(command)
            case Create() if self._commands is not None:
                return self._commands.begin_create(command)
            case _:
                return None

    def _go_on(self, _: object) -> None:
        """Begin to dispatch, unless the socket is gone: whatever waits then was let go."""
        if self._waiting:
            self._spawn(self._dispatch())

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

    def _refuse(self, error: RequestError | RetryLaterError, command: Create | Cancel | Retrieve | Refresh) -> None:
        lane = command.stream_id if isinstance(command, Create) else None
        self._answer(error_event(error, event_id=command.event_id, stream_id=lane))

    def _answer(self, event: Mapping[str, object]) -> None:
        self._outbox.put(encode(event))

    async def _dispatch(self) -> None:
        commands = self._commands or self._make_commands()
        while self._waiting:
            command, begun = self._waiting.popleft()
            try:
                if begun is not None:
                    await commands.obey(command, begun)  # sent before the permit lapsed, if it has
                elif not self._has_lapsed:
                    await commands.obey(command)
            except (RequestError, RetryLaterError) as error:
                self._refuse(error, command)
            finally:
                self._unanswered -= 1
            self._close_if_over()
        self._is_dispatching = False
        self._waiting = None

    def _make_commands(self) -> Commands:
        means = self._means
        self._attachments = Attachments(
            store=means.store,
            hub=means.hub,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=self._response_ended,
            on_lost=self._response_lost,
        )
        self._commands = Commands(
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
        return self._commands

    # ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _cancel_went_on(self, is_done: bool) -> None:
        """Take note that a cancel was accepted, or got its last answer."""
        self._stopped = True
        self._unanswered += -1 if is_done else 1
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
        if self._stopped and self._on_stop is OnStop.CLOSE and not self._attachments and not self._unanswered:
            self.close(CloseCode.DONE, STOPPED_REASON)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def on_writable(self) -> None:
        """Go on with what is queued."""
        self._sender.flush()

    def _has_room(self) -> None:
        """Let those go on that read the log for this socket."""
        if self._attachments is not None:
            self._attachments.on_drained()
