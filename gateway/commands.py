"""Commands: what a client asks for, done.

Owns the obeying of `response.create`, `response.retrieve` and `response.cancel` for one socket, one after another in
the order in which they came. Does not own the socket: it answers through a callback. Guarantees: every command is
answered, or raises a RequestError or RetryLaterError that is its answer; a cancel is answered `accepted` only once its
stops are durable, and `done` within the bound.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, assert_never

import msgspec

from andon import tracing
from andon.answers import cancel_accepted, cancel_done, cancel_failed, live_answer
from andon.audit import Asker
from andon.errors import NotFoundError, OverloadedError, RequestError, RetryLaterError, StoreUnavailable
from andon.ids import Principal, ResponseId, SessionName, SocketId, new_response_id, session_tag, tag_of
from andon.members import response_not_found
from andon.protocol import Cancel, Create, Retrieve
from andon.replies import StopOutcome, StopReceipt, Submission, Submittal, Submitted
from andon.settings import Settings
from andon.store import Store
from andon.tracing import Span, TraceContext
from gateway.attachment import Attachment
from gateway.attachments import Attachments
from gateway.bounds import check_bounds
from gateway.counted import counted
from gateway.create_trace import creating, tell_submitted
from gateway.creation import submission, turns_before
from gateway.stops import Begun, Stops
from gateway.submitter import Submitter
from gateway.watching import Watching


class BegunCreate(msgspec.Struct, frozen=True):
    """A create whose submit was sent."""

    new: Submission
    attachment: Attachment
    # Brings what the submit was answered.
    reply: "asyncio.Future[list[Any] | None]"


class Commands:
    """The commands of one socket."""

    __slots__ = (
        "_answer",
        "_attachments",
        "_caller",
        "_from",
        "_on_cancel",
        "_session",
        "_settings",
        "_socket_id",
        "_spawn",
        "_stops",
        "_store",
        "_submitter",
        "_tag",
    )

    def __init__(
        self,
        socket_id: SocketId,
        *,
        caller: Callable[[], Principal],
        asker: Asker,
        session: SessionName,
        store: Store,
        stops: Stops,
        attachments: Attachments,
        settings: Settings,
        answer: Callable[[Mapping[str, object]], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_cancel: Callable[[bool], None],
    ) -> None:
        self._socket_id = socket_id
        # Asked anew for each command: a refreshed token may have other scopes, of the same tenant and subject.
        self._caller = caller
        self._from = asker
        self._session = session
        self._tag = session_tag(caller(), session)
        self._store = store
        self._submitter = Submitter(store, key_name="event_id")
        self._stops = stops
        self._attachments = attachments
        self._settings = settings
        self._answer = answer
        self._spawn = spawn
        # Told False when a cancel was accepted, True when its last answer was given.
        self._on_cancel = on_cancel

    @property
    def _principal(self) -> Principal:
        return self._caller()

    @property
    def _asker(self) -> Asker:
        return msgspec.structs.replace(self._from, principal=self._caller())

    def begin(self, cancel: Cancel) -> Begun | None:
        """Send the stop of one response within this call. To be called where no command of this socket waits.

        None: it is to be done as a whole, in its turn.
        """
        if cancel.response_id is None:
            return None
        return self._stops.begin(cancel.response_id, self._asking(cancel), reason=cancel.reason)

    def begin_create(self, create: Create) -> BegunCreate | None:
        """Send the submit of a create within this call. To be called where no command of this socket waits.

        None: it is to be done as a whole, in its turn, because something else has to be asked first, or refused.
        """
        if (
            tracing.makes_spans()
            or create.body.get("previous_response_id") is not None
            or not self._attachments.holds(self._tag)
            or not self._store.places.are_unlimited
        ):
            return None
        try:
            self._check(create)
        except (RequestError, RetryLaterError):
            return None
        new = self._submission(create, (), create.trace or self._from.trace)
        sent = self._store.begin_submit(new)
        # After it, for nothing that it publishes is heard within this call.
        return None if sent is None else BegunCreate(new, self._attach(create, new), sent)

    async def obey(self, command: Create | Cancel | Retrieve, begun: Begun | BegunCreate | None = None) -> None:
        """Do one command. Raises RequestError or RetryLaterError, which is then its answer."""
        match command:
            case Create() if isinstance(begun, BegunCreate):
                with counted(self._store.telemetry):
                    await self._submit(command, begun.new, begun.attachment, begun.reply)
            case Create():
                trace = command.trace or self._from.trace
                with counted(self._store.telemetry), creating(command.body, self._asker, trace) as span:
                    await self._create(command, span)
            case Cancel():
                await (self._finish(command, begun) if isinstance(begun, Begun) else self._cancel(command))
            case Retrieve():
                await self._retrieve(command)
            case other:
                assert_never(other)

    # ── create ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _create(self, create: Create, span: Span) -> None:
        self._check(create)
        chain = await turns_before(create, self._tag, self._store)
        await self._attachments.hold(self._tag)
        new = self._submission(create, chain, span.context)
        # Before the submit: its first event may be published before its answer is read.
        submittal = await self._submit(create, new, self._attach(create, new))
        tell_submitted(span, new, submittal)

    def _check(self, create: Create) -> None:
        """Raise RequestError or OverloadedError for what is not accepted here."""
        check_bounds(create, self._settings)
        lanes = self._attachments.busy_lanes()
        if (create.stream_id or "") not in lanes and len(lanes) >= self._settings.max_lanes:
            message = f"{len(lanes)} lanes are busy on this socket. Wait for one, or open another socket."
            raise OverloadedError("websocket_stream_limit_reached", message)

    def _submission(self, create: Create, chain: tuple[ResponseId, ...], trace: TraceContext) -> Submission:
        return submission(
            create,
            new_response_id(self._tag),
            principal=self._principal,
            session=self._session,
            socket_id=self._socket_id,
            chain=chain,
            settings=self._settings,
            trace=trace,
        )

    def _attach(self, create: Create, new: Submission) -> Attachment:
        return self._attachments.attach(
            new.response_id,
            starting_after=-1,
            abandon_s=new.abandon_s,
            stream_id=create.stream_id,
            is_created_here=True,
            whose=new.whose,
        )

    async def _submit(
        self,
        create: Create,
        new: Submission,
        attachment: Attachment,
        begun: "asyncio.Future[list[Any] | None] | None" = None,
    ) -> Submittal:
        """Submit, and follow what was created, or what the same create has created before."""
        try:
            submittal = await self._submitter.submit(new, begun)
        except (RequestError, RetryLaterError) as error:
            self._attachments.detach(attachment)
            if isinstance(error, StoreUnavailable) and create.event_id is None:
                # It may have been accepted all the same, and nobody could ask for it again: take it back.
                self._stops.take_back(new.response_id, self._asker)
            raise
        if submittal.tag is not Submitted.KNOWN:
            attachment.accepted = True
            return submittal
        self._attachments.detach(attachment)
        if submittal.response_id not in self._attachments:
            await self._follow(submittal.response_id, -1)
        return submittal

    # ── retrieve ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _retrieve(self, retrieve: Retrieve) -> None:
        if retrieve.response_id is not None:
            if not await self._follow(retrieve.response_id, retrieve.starting_after):
                raise response_not_found(retrieve.response_id)
            return
        live = await self._store.live(self._tag)
        self._answer(live_answer(live, retrieve.event_id))
        for response_id in live:
            if response_id not in self._attachments:
                await self._follow(response_id, -1)

    async def _follow(self, response_id: ResponseId, starting_after: int) -> bool:
        """Attach to a response that exists; False if there is none for this caller."""
        job = await self._store.job(response_id)
        if job is None or not job.is_open_to(self._principal):
            return False
        await self._attachments.hold(tag_of(response_id))
        attachment = self._attachments.attach(
            response_id, starting_after=starting_after, abandon_s=job.abandon_s, whose=job.whose
        )
        attachment.accepted = True
        attachment.on_missed()
        return True

    # ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────

    def leave(self, cancel: Cancel, begun: Begun | None) -> None:
        """Have a cancel carried out whose client left before its turn. To be called while its lanes are still known."""
        if begun is not None:
            self._stops.take_up(begun)
        elif _is_of_session(cancel):
            self._leave_session(cancel)
        else:
            self._stops.leave_soon(self._named(cancel), self._asking(cancel), reason=cancel.reason)

    def _leave_session(self, cancel: Cancel) -> None:
        asking = self._asking(cancel)
        self._stops.leave_session_soon(self._tag, asking, reason=cancel.reason, session=self._session)

    async def _cancel(self, cancel: Cancel) -> None:
        targets = await self._targets(cancel)
        session = self._session if _is_of_session(cancel) else None
        with contextlib.ExitStack() as stack:
            watching = stack.enter_context(self._stops.watch(targets))
            receipts = await self._stops.stop(targets, self._asking(cancel), reason=cancel.reason, session=session)
            self._tell(cancel, receipts, watching, stack)

    async def _finish(self, cancel: Cancel, begun: Begun) -> None:
        """Do what is left of a cancel that was begun."""
        with contextlib.ExitStack() as stack:
            stack.push(begun.watching)
            receipt = await self._stops.finish(begun)
            self._tell(cancel, [receipt], begun.watching, stack)

    def _asking(self, cancel: Cancel) -> Asker:
        principal = self._caller()
        if principal is self._from.principal and not cancel.trace:
            return self._from
        return msgspec.structs.replace(self._from, principal=principal, trace=cancel.trace or self._from.trace)

    def _tell(
        self, cancel: Cancel, receipts: list[StopReceipt], watching: Watching, watched: contextlib.ExitStack
    ) -> None:
        """Answer a cancel, and have its settlement waited for. Raises NotFoundError."""
        if cancel.response_id is not None and receipts[0].outcome is StopOutcome.UNKNOWN:
            raise response_not_found(cancel.response_id)
        recorded = [receipt for receipt in receipts if receipt.outcome is StopOutcome.RECORDED]
        if not recorded:
            self._answer(cancel_failed("already_ended", "Nothing is left to stop.", cancel.event_id))
            return
        self._answer(cancel_accepted(recorded, cancel.event_id))
        self._on_cancel(False)
        self._spawn(self._finish_cancel(cancel, recorded, watching, watched.pop_all()))

    async def _finish_cancel(
        self, cancel: Cancel, recorded: list[StopReceipt], watching: Watching, watched: contextlib.ExitStack
    ) -> None:
        """Say `done` when all is settled, or after the bound with what is known."""
        try:
            with watched:
                settled = await self._stops.settled(recorded, watching)
            self._answer(cancel_done(settled, cancel.event_id))
        finally:
            self._on_cancel(True)

    async def _targets(self, cancel: Cancel) -> list[ResponseId]:
        if _is_of_session(cancel):
            try:
                return await self._store.live(self._tag)
            except asyncio.CancelledError:
                self._leave_session(cancel)
                raise
        lane = cancel.stream_id
        if cancel.response_id is None and lane is not None and not self._attachments.knows_lane(lane):
            message = f"No lane {lane!r} on this socket: a lane belongs to the socket that created in it."
            raise NotFoundError("response_not_found", message, param="stream_id")
        return self._named(cancel)

    def _named(self, cancel: Cancel) -> list[ResponseId]:
        """Return the responses that a cancel names, by their id or their lane."""
        if cancel.response_id is not None:
            return [cancel.response_id]
        assert cancel.stream_id is not None
        # Those that wait first: else the stop of the first would give the next its turn.
        return self._attachments.in_lane(cancel.stream_id)[::-1]


def _is_of_session(cancel: Cancel) -> bool:
    """Tell whether a cancel is of all that is live in its session."""
    return cancel.response_id is None and cancel.stream_id is None
