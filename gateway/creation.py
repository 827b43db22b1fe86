"""Creation: what a `response.create` becomes in the contract.

Owns the texts that the submit writes and every later frame is joined from. Pure but for the clock and the new id.
"""

import time

from andon.frames import encode, envelope
from andon.ids import Principal, ResponseId, SessionName, SocketId
from andon.protocol import Create
from andon.response import base, open_object
from andon.store import Submission


def submission(
    create: Create, response_id: ResponseId, *, principal: Principal, session: SessionName, socket_id: SocketId | None
) -> Submission:
    """Build the submission of a checked create. `socket_id` None: no lane (HTTP)."""
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
        base=open_object(base(response_id, create.body, created_at=created_at)),
        request=encode(create.body),
        record=open_object(record),
    )
