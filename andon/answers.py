"""Answers: what is answered to a frame, on its socket alone.

Owns the shapes of answers as `andon.events` types them. Pure.
"""

from collections.abc import Mapping
from typing import TypeVar, cast

from andon.events import (
    AuthRefreshed,
    CancelAccepted,
    CancelDone,
    CancelFailed,
    Pong,
    RetrieveAccepted,
    SteerFailed,
    StopsAnswer,
)
from andon.ids import ResponseId
from andon.protocol import Ping, Steer
from andon.replies import StopReceipt

E = TypeVar("E", bound=Mapping[str, object])


def with_event_id(event: E, event_id: str | None) -> E:
    """Repeat the client's `event_id` where it gave one."""
    return event if event_id is None else cast("E", {**event, "event_id": event_id})


def pong(ping: Ping) -> Pong:
    """Shape `pong`."""
    return with_event_id(Pong(type="pong"), ping.event_id)


def refreshed(expires_at: float | None, event_id: str | None) -> AuthRefreshed:
    """Shape `auth.refreshed`: until when the new token holds, in Unix seconds; None: until it is revoked."""
    return with_event_id(AuthRefreshed(type="auth.refreshed", expires_at=expires_at), event_id)


def stops_answer(receipts: list[StopReceipt]) -> StopsAnswer:
    """Shape `stops`: for each response how far its stop got."""
    return {
        "stops": [
            {
                "response_id": receipt.response_id,
                "recorded": receipt.recorded,
                "replicated": receipt.replicated,
                "acked": receipt.acked,
                "upstream_closed": receipt.upstream_closed,
                "settled": receipt.settled,
            }
            for receipt in receipts
        ]
    }


def cancel_accepted(receipts: list[StopReceipt], event_id: str | None) -> CancelAccepted:
    """Shape `response.cancel.accepted`."""
    event: CancelAccepted = {"type": "response.cancel.accepted", "stops": stops_answer(receipts)["stops"]}
    return with_event_id(event, event_id)


def cancel_done(receipts: list[StopReceipt], event_id: str | None) -> CancelDone:
    """Shape `response.cancel.done`."""
    event: CancelDone = {"type": "response.cancel.done", "stops": stops_answer(receipts)["stops"]}
    return with_event_id(event, event_id)


def cancel_failed(code: str, message: str, event_id: str | None) -> CancelFailed:
    """Shape `response.cancel.failed`: nothing was left to stop. Never an `error`: that would end an SDK's lane."""
    event: CancelFailed = {
        "type": "response.cancel.failed",
        "code": code,
        "error": {"type": "invalid_request_error", "code": code, "message": message, "param": None},
    }
    return with_event_id(event, event_id)


def live_answer(response_ids: list[ResponseId], event_id: str | None) -> RetrieveAccepted:
    """Shape `response.retrieve.accepted`: what is live in the session, and follows."""
    event: RetrieveAccepted = {"type": "response.retrieve.accepted", "response_ids": [*response_ids]}
    return with_event_id(event, event_id)


def steer_failed(steer: Steer) -> SteerFailed:
    """Shape `response.steer.failed` as the SDK's type demands it."""
    event: SteerFailed = {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "steer": {"input": steer.input, "previous_response_id": steer.previous_response_id},
        "error": {
            "type": "invalid_request_error",
            "code": "steering_not_supported",
            "message": "Andon does not steer yet: stop this response and create another.",
        },
    }
    return with_event_id(event, steer.event_id)
