"""Socket: one client's WebSocket.

Owns the socket's life: one reader that always reads (a paused reader would hide the client's pongs from uvicorn, which
then closes a healthy client), one dispatcher that obeys commands in their order, one writer. Owns the attachments and
the decision to close.

Guarantees: every frame gets its answer; a cancel's answers come before the close; after a stop the terminal event
comes first, then close 1000 `stopped`, unless something else is live here or the client asked to keep the socket.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Final, assert_never

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from andon.closecodes import STOPPED_REASON, CloseCode
from andon.errors import (
    ConflictError,
    NotFoundError,
    OverloadedError,
    RequestError,
    RetryLaterError,
    StoreUnavailable,
    error_event,
)
from andon.frames import encode
from andon.ids import (
    Principal,
    ResponseId,
    SessionName,
    SessionTag,
    new_response_id,
    new_socket_id,
    session_tag,
    tag_of,
)
from andon.protocol import (
    Cancel,
    Command,
    Create,
    Ping,
    Refusal,
    Retrieve,
    Steer,
    cancel_answer,
    cancel_failed,
    parse_frame,
    response_not_found,
    steer_failed,
    with_event_id,
)
from andon.response import Status
from andon.settings import Settings
from andon.store import MOST_WAITING_IN_LANE, StopOutcome, StopReceipt, Store, Submission, Submittal, Submitted
from gateway.attachment import Attachment
from gateway.creation import submission, turns_before
from gateway.hub import Hub
from gateway.outbox import Outbox
from gateway.stops import SettledWatch, Stops

_log = structlog.get_logger(__name__)

# A burst of commands: creates and retrieves over the first bound are refused, cancels only over the second.
_MOST_COMMANDS: Final = 1024
_MOST_COMMANDS_WITH_CANCELS: Final = 2048
_SUBMIT_REPEATS: Final = 3


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
        principal: Principal,
        session: SessionName,
        on_stop: OnStop,
        store: Store,
        hub: Hub,
        stops: Stops,
        settings: Settings,
    ) -> None:
        self._websocket = websocket
        self._principal = principal
        self._session = session
        self._tag = session_tag(principal, session)
        self._on_stop = on_stop
        self._store = store
        self._hub = hub
        self._stops = stops
        self._settings = settings
        self._id = new_socket_id()
        self._log = _log.bind(socket=self._id, session=session)
        self._outbox = Outbox(settings.outbox_bytes)
        # Commands in their order; bounded by the two bounds above.
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        # Live responses on this socket, in the order of their attaching.
        self._attached: dict[ResponseId, Attachment] = {}
        # Lanes that were ever used here: a cancel of any other is a mistake worth telling.
        self._lanes: set[str] = set()
        self._held: set[SessionTag] = set()
        # Commands read but not obeyed, and cancels not yet answered `done`: they hold up the close.
        self._unanswered = 0
        # A stop reached this socket.
        self._stopped = False
        self._spawned: set[asyncio.Task[None]] = set()

    async def run(self, first: Command | None = None) -> None:
        """Serve the accepted socket until it closes. `first`: obeyed before any frame is read."""
        if first is not None:
            self._accept(first)
        reader = asyncio.ensure_future(self._read())
        dispatcher = asyncio.ensure_future(self._dispatch())
        writer = asyncio.ensure_future(self._write())
        try:
            done, _ = await asyncio.wait({reader, dispatcher, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Exception:  # noqa: BLE001  the socket's outermost boundary: other sockets go on
            self._log.exception("socket.crashed")
            await self._close_crashed()
        finally:
            self._detach_all()
            tasks = [reader, dispatcher, writer, *self._spawned]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_crashed(self) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                await self._websocket.close(CloseCode.INTERNAL, "internal")
            except (RuntimeError, WebSocketDisconnect) as error:
                self._log.info("socket.gone", error=str(error))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._spawned.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("socket.task_crashed", exc_info=error)
            self._outbox.close(CloseCode.INTERNAL, "internal")

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
        bound = _MOST_COMMANDS_WITH_CANCELS if isinstance(command, Cancel) else _MOST_COMMANDS
        if isinstance(command, Ping):
            self._answer(with_event_id({"type": "pong"}, command.event_id))
        elif isinstance(command, Steer):
            self._answer(steer_failed(command))
        elif self._commands.qsize() >= bound:
            message = f"{bound} commands wait on this socket. Send the command again when some are answered."
            self._refuse(OverloadedError("rate_limit_exceeded", message), command)
        else:
            self._unanswered += 1
            self._commands.put_nowait(command)

    def _refuse(self, error: RequestError | RetryLaterError, command: Create | Cancel | Retrieve) -> None:
        lane = command.stream_id if isinstance(command, Create) else None
        self._answer(error_event(error, event_id=command.event_id, stream_id=lane))

    def _answer(self, event: dict[str, Any]) -> None:
        self._outbox.put(encode(event))

    # ── obeying ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _dispatch(self) -> None:
        while True:
            command = await self._commands.get()
            try:
                await self._obey(command)
            except (RequestError, RetryLaterError) as error:
                assert isinstance(command, Create | Cancel | Retrieve)
                self._refuse(error, command)
            finally:
                self._unanswered -= 1
            self._close_if_over()

    async def _obey(self, command: Command) -> None:
        match command:
            case Create():
                await self._create(command)
            case Cancel():
                await self._cancel(command)
            case Retrieve():
                await self._retrieve(command)
            case Ping() | Steer():
                raise AssertionError("answered by the reader")
            case other:
                assert_never(other)

    async def _hold(self, tag: SessionTag) -> None:
        if tag not in self._held:
            self._held.add(tag)
            await self._hub.hold(tag)

    async def _create(self, create: Create) -> None:
        lanes = {attachment.stream_id or "" for attachment in self._attached.values() if attachment.is_created_here}
        if (create.stream_id or "") not in lanes and len(lanes) >= self._settings.max_lanes:
            message = f"{len(lanes)} lanes are busy on this socket. Wait for one, or open another socket."
            raise OverloadedError("websocket_stream_limit_reached", message)
        chain = await turns_before(create, self._tag, self._store)
        await self._hold(self._tag)
        new = submission(
            create,
            new_response_id(self._tag),
            principal=self._principal,
            session=self._session,
            socket_id=self._id,
            chain=chain,
            abandon_s=self._settings.abandon_s,
        )
        self._lanes.add(create.stream_id or "")
        # Before the submit: its first event may be published before its answer is read.
        attachment = self._attach(
            new.response_id,
            starting_after=-1,
            stream_id=create.stream_id,
            is_created_here=True,
            abandon_s=new.abandon_s,
        )
        try:
            submittal = await self._submit(new)
        except StoreUnavailable:
            self._detach(attachment)
            if create.event_id is None:
                # It may have been accepted all the same, and nobody could ask for it again: take it back.
                self._stops.take_back(new.response_id, self._principal)
            raise
        if submittal.tag in {Submitted.QUEUED, Submitted.WAITING, Submitted.DUPLICATE}:
            attachment.accepted = True
            return
        self._detach(attachment)
        if submittal.tag is not Submitted.KNOWN:
            raise _not_submitted(submittal.tag)
        if submittal.response_id not in self._attached:
            await self._retrieve(Retrieve(submittal.response_id, -1, create.event_id))

    async def _submit(self, new: Submission) -> Submittal:
        """Submit; again if the answer was lost, for a repeat of the same id changes nothing."""
        submittal = await self._submit_surely(new)
        if submittal.tag in {Submitted.KNOWN, Submitted.CONFLICT} and not await self._store.exists(
            submittal.response_id
        ):
            # What this event id once created is kept no more: it is a new create.
            submittal = await self._submit_surely(new, instead_of=submittal.response_id)
        return submittal

    async def _submit_surely(self, new: Submission, *, instead_of: ResponseId | None = None) -> Submittal:
        for _ in range(_SUBMIT_REPEATS - 1):
            try:
                return await self._store.submit(new, instead_of=instead_of)
            except StoreUnavailable as error:
                if error.code == "store_full":
                    raise
                self._log.info("submit.repeated", response=new.response_id, error=str(error))
        return await self._store.submit(new, instead_of=instead_of)

    async def _retrieve(self, retrieve: Retrieve) -> None:
        job = await self._store.job(retrieve.response_id)
        if job is None or not job.is_owned_by(self._principal):
            raise response_not_found(retrieve.response_id)
        await self._hold(tag_of(retrieve.response_id))
        old = self._attached.get(retrieve.response_id)
        if old is not None:
            self._detach(old)  # it asks for the events once more: from where it says, and only once
        attachment = self._attach(
            retrieve.response_id,
            starting_after=retrieve.starting_after,
            stream_id=None,
            is_created_here=False,
            abandon_s=job.abandon_s,
        )
        attachment.accepted = True
        attachment.on_missed()

    async def _cancel(self, cancel: Cancel) -> None:
        targets = await self._targets(cancel)
        async with contextlib.AsyncExitStack() as stack:
            watches = await stack.enter_async_context(self._stops.watch(targets))
            receipts = await self._stops.stop(
                targets, self._principal, by=self._principal.subject, reason=cancel.reason
            )
            if cancel.response_id is not None and receipts[0].outcome is StopOutcome.UNKNOWN:
                raise response_not_found(cancel.response_id)
            recorded = [receipt for receipt in receipts if receipt.outcome is StopOutcome.RECORDED]
            if not recorded:
                self._answer(cancel_failed("already_ended", "Nothing is left to stop.", cancel.event_id))
                return
            self._answer(cancel_answer("response.cancel.accepted", recorded, cancel.event_id))
            self._stopped = True
            self._unanswered += 1
            self._spawn(self._finish_cancel(cancel, recorded, watches, stack.pop_all()))

    async def _finish_cancel(
        self,
        cancel: Cancel,
        recorded: list[StopReceipt],
        watches: dict[ResponseId, SettledWatch],
        watching: contextlib.AsyncExitStack,
    ) -> None:
        """Say `done` when all is settled, or after the bound with what is known; then close, if it is time."""
        try:
            async with watching:
                settled = await self._stops.settled(recorded, watches)
            self._answer(cancel_answer("response.cancel.done", settled, cancel.event_id))
        finally:
            self._unanswered -= 1
        self._close_if_over()

    async def _targets(self, cancel: Cancel) -> list[ResponseId]:
        if cancel.response_id is not None:
            return [cancel.response_id]
        if cancel.stream_id is None:
            return await self._store.live(self._tag)
        if cancel.stream_id not in self._lanes:
            message = f"No lane {cancel.stream_id!r} on this socket: a lane belongs to the socket that created in it."
            raise NotFoundError("response_not_found", message, param="stream_id")
        in_lane = [
            rid
            for rid, attachment in self._attached.items()
            if attachment.is_created_here and attachment.stream_id == cancel.stream_id
        ]
        # Those that wait first: else the stop of the first would give the next its turn.
        return in_lane[::-1]

    # ── attachments ──────────────────────────────────────────────────────────────────────────────────────────────

    def _attach(
        self,
        response_id: ResponseId,
        *,
        starting_after: int,
        stream_id: str | None,
        is_created_here: bool,
        abandon_s: float,
    ) -> Attachment:
        attachment = Attachment(
            response_id,
            starting_after=starting_after,
            stream_id=stream_id,
            is_created_here=is_created_here,
            abandon_s=abandon_s,
            store=self._store,
            outbox=self._outbox,
            spawn=self._spawn,
            on_ended=self._ended,
            on_lost=self._lost,
        )
        self._attached[response_id] = attachment
        self._hub.add(response_id, attachment)
        return attachment

    def _detach(self, attachment: Attachment) -> None:
        attachment.close()
        self._hub.remove(attachment.response_id, attachment)
        if self._attached.get(attachment.response_id) is attachment:
            del self._attached[attachment.response_id]

    def _detach_all(self) -> None:
        """Detach is not a stop: the jobs go on, and can be retrieved."""
        for attachment in list(self._attached.values()):
            self._detach(attachment)
        for tag in self._held:
            self._hub.release(tag)
        self._held.clear()

    def _ended(self, attachment: Attachment) -> None:
        if attachment.status is Status.CANCELLED:
            self._stopped = True
        self._detach(attachment)
        self._close_if_over()

    def _lost(self, attachment: Attachment) -> None:
        """End the socket: Redis itself lost the job, so no terminal event will come."""
        self._log.warning("socket.job_lost", response=attachment.response_id)
        self._detach(attachment)
        self._outbox.close(CloseCode.INTERNAL, "job_lost")

    def _close_if_over(self) -> None:
        """Close after a stop, once its answers are given and nothing else is live here."""
        if self._stopped and self._on_stop is OnStop.CLOSE and not self._attached and not self._unanswered:
            self._outbox.close(CloseCode.DONE, STOPPED_REASON)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        """Send frames in their order, then the close."""
        try:
            while (frame := await self._outbox.get()) is not None:
                await self._websocket.send_text(frame.decode())
                if self._outbox.is_low:
                    for attachment in tuple(self._attached.values()):
                        attachment.on_drained()
            assert self._outbox.closing is not None
            code, reason = self._outbox.closing
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError) as error:
            self._log.debug("socket.gone", error=str(error))  # the client left while we wrote; the reader ends too


def _not_submitted(submitted: Submitted) -> RetryLaterError | RequestError:
    if submitted is Submitted.LANE_FULL:
        message = f"{MOST_WAITING_IN_LANE} responses wait in this lane. Wait for one, or use another `stream_id`."
        return OverloadedError("lane_full", message)
    if submitted is Submitted.CONFLICT:
        message = "This `event_id` created another response in this session, with another body. Use a new `event_id`."
        return ConflictError("idempotency_conflict", message, param="event_id")
    return RequestError(
        "session_not_yours", "This session belongs to somebody else. Choose another name.", param="session"
    )
