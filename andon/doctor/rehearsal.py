"""Rehearsal: a response that the doctor itself plays the worker of, so that no model is asked and no token spent.

Owns a job in a session of its own, in no index and no queue: no worker claims it and no sweep finds it. Guarantees: its
keys are removed at the end, and expire if that fails.
"""

import contextlib
from collections.abc import AsyncIterator

from andon import keys
from andon.doctor import names
from andon.errors import ContractError
from andon.frames import DeltaFramer, encode, envelope
from andon.ids import (
    Principal,
    ResponseId,
    SessionName,
    SessionTag,
    WorkerId,
    new_response_id,
    new_worker_id,
    session_tag,
)
from andon.link import Argument
from andon.pieces import Delta
from andon.replies import Claimed, Refused, Submission
from andon.response import base, open_object
from andon.store import Store

MODEL = "andon-doctor"


class Unlisted(Store):
    """A store whose jobs are in no index and no queue."""

    def _index_commands(self, tag: SessionTag) -> list[tuple[Argument, ...]]:
        del tag
        return []

    def _enqueue_commands(self, rid: ResponseId) -> list[tuple[Argument, ...]]:
        del rid
        return []


class Rehearsal:
    """A running response. `says` adds a word to it."""

    def __init__(self, store: Unlisted, job: Claimed) -> None:
        self.response_id = job.response_id
        self._store = store
        self._job = job
        self._framer = DeltaFramer(job.envelope)
        self._length = job.next_number

    async def say(self, word: str) -> None:
        """Append a word, and publish it. Raises StoreUnavailable."""
        delta = Delta("response.output_text.delta", "msg_doctor", 0, ("content_index", 0), word)
        await self._store.append(self._job, self._length, [self._framer.frame(delta, self._length)], renew=False)
        self._length += 1


@contextlib.asynccontextmanager
async def rehearsal(store: Unlisted, principal: Principal, *, created_at: float) -> AsyncIterator[Rehearsal]:
    """Keep a response running for the length of a block. Raises StoreUnavailable."""
    session = SessionName(names.tag())
    tag = session_tag(principal, session)
    response_id, worker_id = new_response_id(tag), new_worker_id()
    try:
        await store.submit(_submission(principal, session, response_id, created_at))
        job = await store.claim(response_id, worker_id)
        if isinstance(job, Refused):
            raise ContractError(f"a response of the doctor's own was not to be claimed: {job}")
        yield Rehearsal(store, job)
    finally:
        await _remove(store, tag, response_id, worker_id)


def _submission(principal: Principal, session: SessionName, response_id: ResponseId, created_at: float) -> Submission:
    body = {"model": MODEL, "input": "a rehearsal", "store": False}
    return Submission(
        response_id=response_id,
        principal=principal,
        session=session,
        lane="",
        envelope=envelope(response_id, None),
        base=open_object(base(response_id, body, created_at=created_at)),
        request=encode(body),
        record=open_object({"response_id": response_id, "session": session}),
        is_stored=False,
    )


async def _remove(store: Unlisted, tag: SessionTag, response_id: ResponseId, worker_id: WorkerId) -> None:
    own = [
        keys.job(response_id),
        keys.log(response_id),
        keys.turn(response_id),
        keys.seen(response_id),
        keys.unseen(response_id),
        keys.session(tag),
        keys.live(tag),
        keys.lanes(tag),
        keys.outbox(tag),
    ]
    await store.database.call("DEL", *own)
    await store.database.call("DEL", keys.worker_jobs(worker_id))
