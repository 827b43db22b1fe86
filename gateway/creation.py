"""Creation: what a `response.create` becomes in the contract.

Owns the texts that the submit writes and every later frame is joined from, and the finding of the turns before.
"""

import hashlib
import time

import msgspec

from andon.errors import RequestError
from andon.frames import encode, envelope
from andon.ids import Principal, ResponseId, SessionName, SessionTag, SocketId, as_response_id, tag_of
from andon.protocol import Create
from andon.replies import Submission
from andon.response import base, open_object
from andon.settings import Settings
from andon.store import Store
from andon.tracing import NO_TRACE, TraceContext
from andon.turns import MOST_TURNS
from gateway.bounds import within_bounds


async def turns_before(create: Create, tag: SessionTag, store: Store) -> tuple[ResponseId, ...]:
    """Return the stored turns that a create goes on from. Raises RequestError if there is no such turn here."""
    previous = create.body.get("previous_response_id")
    if previous is None:
        return ()
    response_id = as_response_id(previous)
    chain = None
    if response_id is not None and tag_of(response_id) == tag:
        chain = await store.chain_after(response_id)
    if chain is None:
        message = (
            f"No stored turn {previous[:80]!r} in this session: it never was, has expired, failed, or was created with "
            "`store: false`. Send the whole conversation as `input`."
        )
        raise RequestError("previous_response_not_found", message, param="previous_response_id")
    if len(chain) > MOST_TURNS:
        message = f"The conversation has more than {MOST_TURNS} turns. Begin a new one with what matters of it."
        raise RequestError("conversation_too_long", message, param="previous_response_id")
    return chain


def submission(
    create: Create,
    response_id: ResponseId,
    *,
    principal: Principal,
    session: SessionName,
    socket_id: SocketId | None,
    chain: tuple[ResponseId, ...] = (),
    settings: Settings,
    trace: TraceContext = NO_TRACE,
) -> Submission:
    """Build the submission of a checked create. `socket_id` None: no lane (HTTP). `trace`: its span's."""
    body = within_bounds(create.body, settings)
    created_at = round(time.time(), 3)
    record = {
        "response_id": response_id,
        "session": session,
        "tenant": principal.tenant,
        "subject": principal.subject,
        "model": create.body["model"],
        "created_at": created_at,
    }
    return Submission(
        response_id=response_id,
        principal=principal,
        session=session,
        # A create without a `stream_id` runs in the socket's unnamed lane: one after another, as OpenAI does.
        lane="" if socket_id is None else f"{socket_id}/{create.stream_id or ''}",
        envelope=envelope(response_id, create.stream_id),
        base=open_object(base(response_id, body, created_at=created_at, is_background=create.is_background)),
        request=encode(body),
        record=open_object(record),
        chain=chain,
        is_stored=create.body.get("store") is not False,
        event_id=create.event_id,
        digest="" if create.event_id is None else _digest(create),
        abandon_s=create.abandon_s if create.abandon_s is not None else settings.abandon_s,
        deadline_s=create.deadline_s if create.deadline_s is not None else settings.deadline_s,
        trace=trace,
    )


def _digest(create: Create) -> str:
    """Digest what was asked for: two creates of one event id are the same if they ask for the same."""
    asked = msgspec.json.encode(
        [create.stream_id, create.abandon_s, create.deadline_s, create.is_background, create.body],
        order="deterministic",
    )
    return hashlib.blake2b(asked, digest_size=16).hexdigest()
