"""Socket: one client's WebSocket.

Owns the socket's life: one reader that always reads (a paused reader would hide the client's pongs from uvicorn, which
then closes a healthy client), one dispatcher that has commands done in their order, one writer. The latter two are
there only while there is work for them: most sockets are idle most of the time, and thousands share a process. Owns
the decision to close.

Guarantees: every frame gets its answer; a cancel's answers come before the close; after a stop the terminal event
comes first, then close 1000 `stopped`, unless something else is live here or the client asked to keep the socket.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, cast

import structlog
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from andon.audit import Asker
from andon.closecodes import CLOSE_CODES, STOPPED_REASON, CloseCode
from andon.errors import OverloadedError, RequestError, RetryLaterError, error_event
from andon.frames import encode
from andon.ids import SessionName, new_socket_id
from andon.lifetime import Spawned
from andon.logs import about
from andon.protocol import (
    Cancel,
    Command,
    Create,
    Ping,
    Refresh,
    Refusal,
    Retrieve,
    Steer,
    parse_frame,
    pong,
    refreshed,
    steer_failed,
)
from andon.response import Status
from andon.settings import Settings
from andon.store import Store
from gateway.attachment import Attachment
from gateway.attachments import Attachments
from gateway.auth.permit import Permit
from gateway.commands import Commands
from gateway.doorkeeper import Doorkeeper
from gateway.hub import Hub
from gateway.outbox import Outbox
from gateway.stops import Stops
from gateway.wire import PIECE_BYTES, Piece

_log = structlog.get_logger(__name__)

# A burst of commands: creates and retrieves over the first bound are refused, cancels only over the second.
_MOST_COMMANDS: Final = 1024
_MOST_COMMANDS_WITH_CANCELS: Final = 2048


class OnStop(StrEnum):
    """What a stop does to the socket."""

    CLOSE = "close"
    KEEP = "keep"


class ClientSocket:
    """One accepted WebSocket."""

    def __init__(
        self,
        websocket: WebSocket,
        *,
        permit: Permit,
        doorkeeper: Doorkeeper,
        asker: Asker,
        session: SessionName,
        on_stop: OnStop,
        store: Store,
        hub: Hub,
        stops: Stops,
        settings: Settings,
    ) -> None:
        # What the client was let in with, or has refreshed that with since.
        self.permit: Permit = permit
        self._doorkeeper = doorkeeper
        # Its permit holds no more: nothing that it still says is obeyed.
        self._has_lapsed = False
        # One refresh at a time: each is work that a stranger's token could be made to cause.
        self._is_refreshing = False
        self._websocket = websocket
        self._on_stop = on_stop
        self._settings = settings
        self._session = session
        self._socket_id = new_socket_id()
        # The dispatcher, the writer, reads of logs, waits for settlements.
        self._spawn = Spawned(self._task_crashed)
        self._outbox = Outbox(settings.outbox_bytes, on_waiting=self._wake_writer)
        self._attachments = Attachments(
            store=store,
            hub=hub,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=self._response_ended,
            on_lost=self._response_lost,
        )
        self._commands = Commands(
            self._socket_id,
            caller=lambda: self.permit.principal,
            asker=asker,
            session=session,
            store=store,
            stops=stops,
            attachments=self._attachments,
            settings=settings,
            answer=self._answer,
            spawn=self._spawn,
            on_cancel=self._cancel_went_on,
        )
        # Commands in their order; bounded by the two bounds above.
        self._waiting: deque[Create | Cancel | Retrieve] = deque()
        self._is_dispatching = False
        # Commands read but not done, and cancels not yet answered `done`: they hold up the close.
        self._unanswered = 0
        # A stop reached this socket.
        self._stopped = False
        # Set while frames, or the close, are being sent; after the close for ever.
        self._writer: asyncio.Task[None] | None = None

    async def run(self, first: Retrieve | None = None) -> None:
        """Serve the accepted socket until it closes. `first`: done before any frame is read."""
        if first is not None:
            self._accept(first)
        try:
            await self._read()
        except Exception:  # noqa: BLE001  the socket's outermost boundary: other sockets go on
            self._log.exception("socket.crashed")
            await self._close_crashed()
        finally:
            self._attachments.close()
            await self._spawn.close()

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

    async def _close_crashed(self) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client may be gone by now
                await self._websocket.close(CloseCode.INTERNAL, "internal")

    def _task_crashed(self, task: asyncio.Task[None], error: BaseException) -> None:
        self._log.error("socket.task_crashed", exc_info=error)
        self.close(CloseCode.INTERNAL, "internal")
        if task is self._writer:
            self._writer = None
            self._wake_writer()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        """Read every frame as it comes; never wait for anything else."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame = message.get("text")
            if frame is None:
                error = RequestError("invalid_frame", "Binary frames are not read. Send JSON in text frames.")
                self._answer(error_event(error))
                continue
            command = parse_frame(frame)
            if isinstance(command, Refusal):
                self._answer(error_event(command.error, event_id=command.event_id, stream_id=command.stream_id))
            else:
                self._accept(command)

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
        if len(self._waiting) >= bound:
            message = f"{bound} commands wait on this socket. Send the command again when some are answered."
            self._refuse(OverloadedError("rate_limit_exceeded", message), command)
        else:
            self._unanswered += 1
            self._waiting.append(command)
            if not self._is_dispatching:
                self._is_dispatching = True
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
            self.permit = await self._doorkeeper.renew(self.permit, command.token.get_secret_value())
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
        while self._waiting:
            command = self._waiting.popleft()
            try:
                if not self._has_lapsed:
                    await self._commands.obey(command)
            except (RequestError, RetryLaterError) as error:
                self._refuse(error, command)
            finally:
                self._unanswered -= 1
            self._close_if_over()
        self._is_dispatching = False

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

    def _wake_writer(self) -> None:
        if self._writer is None:
            self._writer = self._spawn(self._write())

    async def _write(self) -> None:
        """Send what is queued, in its order, then the close if one was decided."""
        try:
            while (frame := self._outbox.take()) is not None:
                await self._send(frame)
                if self._outbox.is_low:
                    self._attachments.on_drained()
            if self._outbox.closing is None:
                self._writer = None
                return
            await self._websocket.close(*self._outbox.closing)
        except (WebSocketDisconnect, RuntimeError) as error:
            self._log.debug("socket.gone", error=str(error))  # the client left while we wrote; the reader ends too

    async def _send(self, frame: bytes) -> None:
        """Send one frame in pieces; not to its end if the reader turns out to be too slow meanwhile."""
        for at in range(0, len(frame), PIECE_BYTES):
            if self._outbox.is_dropped:
                return
            utf8, is_last = frame[at : at + PIECE_BYTES], at + PIECE_BYTES >= len(frame)
            piece = Piece(type="websocket.send", utf8=utf8, is_first=at == 0, is_last=is_last)
            await self._websocket.send(cast("Message", piece))
            self._outbox.sent(len(utf8))
