"""Submitter: the sure submit of a response, for the socket and for HTTP alike.

Owns what is done when the answer to a submit is lost, when its key has created something before, and which error each
refusal is. Guarantees: a response is accepted once, however often its submit had to be repeated; nothing is accepted
that has no place within the limits (`andon.places`), and what is not accepted keeps none. A repeat of what was
accepted needs no place: it is not refused where the limits are reached.
"""

import asyncio
from typing import Any, Final

import structlog

from andon.errors import ConflictError, OverloadedError, RequestError, RetryLaterError, StoreUnavailable
from andon.ids import ResponseId
from andon.logs import about
from andon.replies import Submission, Submittal, Submitted
from andon.store import MOST_WAITING_IN_LANE, Store

_log = structlog.get_logger(__name__)

_TRIES: Final = 3
# A log line takes a tenth of a millisecond of the processor that the claim, and the first token, wait for.
_TOLD_AFTER_S: Final = 0.003
_ACCEPTED: Final = frozenset({Submitted.QUEUED, Submitted.WAITING, Submitted.DUPLICATE, Submitted.KNOWN})


class Submitter:
    """Submits. `key_name`: what the client calls the key that makes its create idempotent."""

    __slots__ = ("_key_name", "_store")

    def __init__(self, store: Store, *, key_name: str) -> None:
        self._store = store
        self._key_name = key_name

    async def submit(self, new: Submission, begun: "asyncio.Future[list[Any] | None] | None" = None) -> Submittal:
        """Submit; `known` in the answer means that the same create was accepted before, as another response.

        `begun`: it was sent by the store's `begin_submit`, which takes no place: there must be no limits.
        Raises RequestError or RetryLaterError where it was refused, StoreUnavailable where that is not known.
        Cancelling the wait is safe; the response may be accepted all the same.
        """
        try:
            await self._store.places.take(new.principal, new.response_id)
        except OverloadedError:
            known = await self._known(new)
            if known is None:
                raise
            return known
        submittal = await self._submit_until_known(new, begun)
        if submittal.tag not in _ACCEPTED or submittal.tag is Submitted.KNOWN:
            await self._store.places.give_back(new.principal, new.response_id)
        if submittal.tag not in _ACCEPTED:
            raise self._refusal(submittal.tag)
        if submittal.tag is not Submitted.KNOWN:
            asyncio.get_running_loop().call_later(_TOLD_AFTER_S, self._tell_accepted, new, submittal)
        return submittal

    @staticmethod
    def _tell_accepted(new: Submission, submittal: Submittal) -> None:
        _log.info("response.accepted", **about(new.response_id, new.whose), state=submittal.tag)

    async def _known(self, new: Submission) -> Submittal | None:
        """Return what this key has created before, if that is still there: following it takes up no room."""
        submittal = await self._store.created_before(new)
        if submittal is None or not await self._store.exists(submittal.response_id):
            return None
        if submittal.tag is Submitted.CONFLICT:
            raise self._refusal(submittal.tag)
        return submittal

    async def _submit_until_known(self, new: Submission, begun: "asyncio.Future[list[Any] | None] | None") -> Submittal:
        submittal = await self._submit_surely(new, begun=begun)
        if submittal.tag in {Submitted.KNOWN, Submitted.CONFLICT} and not await self._store.exists(
            submittal.response_id
        ):
            # What this key once created is kept no more: it is a new create.
            submittal = await self._submit_surely(new, instead_of=submittal.response_id)
        return submittal

    async def _submit_surely(
        self,
        new: Submission,
        *,
        instead_of: ResponseId | None = None,
        begun: "asyncio.Future[list[Any] | None] | None" = None,
    ) -> Submittal:
        """Submit; again if the answer was lost, for a repeat of the same id changes nothing."""
        for _ in range(_TRIES - 1):
            try:
                return await self._store.submit(new, instead_of=instead_of, begun=begun)
            except StoreUnavailable as error:
                begun = None
                if error.code == "store_full":
                    raise
                _log.info("submit.repeated", **about(new.response_id, new.whose), error=str(error))
        return await self._store.submit(new, instead_of=instead_of)

    def _refusal(self, submitted: Submitted) -> RetryLaterError | RequestError:
        if submitted is Submitted.LANE_FULL:
            message = f"{MOST_WAITING_IN_LANE} responses wait in this lane. Wait for one, or use another `stream_id`."
            return OverloadedError("lane_full", message)
        if submitted is Submitted.CONFLICT:
            key = f"`{self._key_name}`"
            message = f"This {key} created another response in this session, with another body. Use a new {key}."
            return ConflictError("idempotency_conflict", message, param=self._key_name)
        message = "This session belongs to somebody else. Choose another name."
        return RequestError("session_not_yours", message, param="session")
