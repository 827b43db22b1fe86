"""Creator: a checked create of HTTP, submitted.

Owns which session it belongs to and how long it may be without a client. HTTP has no lanes. Guarantees: what it
returns was accepted; where that is not known and nobody can ask for it again, it is taken back.
"""

import msgspec

from andon.audit import Asker
from andon.errors import RetryLaterError, StoreUnavailable
from andon.ids import (
    Principal,
    ResponseId,
    SessionName,
    as_response_id,
    new_response_id,
    session_tag,
    tag_of,
)
from andon.replies import Submitted, Whose
from andon.settings import Settings
from andon.store import Store
from andon.tracing import Span
from gateway.bounds import check_bounds
from gateway.counted import counted
from gateway.create_trace import creating, tell_submitted
from gateway.creation import submission, turns_before
from gateway.http.create_request import CreateRequest
from gateway.stops import Stops
from gateway.submitter import Submitter


class Accepted(msgspec.Struct, frozen=True):
    """A response that was accepted, now or by an earlier create of the same key."""

    response_id: ResponseId
    abandon_s: float
    whose: Whose


class Creator:
    """Submits creates."""

    def __init__(self, *, store: Store, stops: Stops, settings: Settings) -> None:
        self._store = store
        self._stops = stops
        self._settings = settings
        self._submitter = Submitter(store, key_name="Idempotency-Key")

    async def create(self, asked: CreateRequest, principal: Principal, asker: Asker) -> Accepted:
        """Submit. Raises RequestError or RetryLaterError.

        It is not to be cancelled because the client left: then nobody would know whether there is something to stop.
        """
        with counted(self._store.telemetry), creating(asked.create.body, asker, asker.trace) as span:
            return await self._create(asked, principal, asker, span)

    async def _create(self, asked: CreateRequest, principal: Principal, asker: Asker, span: Span) -> Accepted:
        check_bounds(asked.create, self._settings)
        session = await self._session(asked, principal)
        tag = session_tag(principal, session)
        create = asked.create
        new = submission(
            create,
            new_response_id(tag),
            principal=principal,
            session=session,
            socket_id=None,
            chain=await turns_before(create, tag, self._store),
            settings=self._settings,
            trace=span.context,
        )
        try:
            submittal = await self._submitter.submit(new)
        except StoreUnavailable:
            if create.event_id is None:
                self._stops.take_back(new.response_id, asker)
            raise
        tell_submitted(span, new, submittal)
        if submittal.tag is not Submitted.KNOWN:
            return Accepted(new.response_id, new.abandon_s, new.whose)
        earlier = await self._store.job(submittal.response_id)
        if earlier is None:
            raise RetryLaterError("expired", "What this key created has expired this very moment. Send it again.")
        return Accepted(earlier.response_id, earlier.abandon_s, earlier.whose)

    async def _session(self, asked: CreateRequest, principal: Principal) -> SessionName:
        """Find the session: the one that was named, the one of the turn before, or a new one."""
        if asked.session is not None:
            return asked.session
        previous = as_response_id(asked.create.body.get("previous_response_id") or "")
        if previous is not None:
            name = await self._store.session_name(tag_of(previous), principal)
            if name is not None:
                return name
        return asked.new_session
