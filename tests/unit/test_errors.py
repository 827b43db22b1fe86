import pytest

from andon.closecodes import CLOSE_CODES, STOPPED_REASON, CloseCode, close_code_of
from andon.errors import (
    AndonError,
    ConflictError,
    ContractError,
    ForbiddenError,
    GoneError,
    KeysUnavailable,
    NotFoundError,
    OverloadedError,
    RequestError,
    RestartingError,
    RetryLaterError,
    StartError,
    StoreUnavailable,
    TooLargeError,
    UnauthorizedError,
    error_event,
)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (RequestError("invalid_type", "m", param="input"), 400, "invalid_request_error"),
        (UnauthorizedError("invalid_token", "m"), 401, "authentication_error"),
        (ForbiddenError("origin_not_allowed", "m"), 403, "permission_error"),
        (KeysUnavailable("keys_unavailable", "m"), 503, "server_error"),
        (NotFoundError("response_not_found", "m", param="response_id"), 404, "invalid_request_error"),
        (ConflictError("idempotency_conflict", "m"), 409, "invalid_request_error"),
        (RetryLaterError("later", "m"), 503, "server_error"),
        (StoreUnavailable("m"), 503, "server_error"),
        (OverloadedError("websocket_stream_limit_reached", "m"), 429, "rate_limit_error"),
    ],
)
def test_an_error_goes_out_with_its_http_status_and_openai_type(
    error: RequestError | RetryLaterError, status: int, kind: str
) -> None:
    """The socket's `error` event: status, type, code, message, param, and when to come back; ids where they belong."""
    told: dict[str, object] = {"type": kind, "code": error.code, "message": "m", "param": error.param}
    if isinstance(error, RetryLaterError):
        told["retry_after_s"] = error.retry_after_s
    assert error_event(error) == {"type": "error", "status": status, "error": told}
    full = error_event(error, event_id="e", stream_id="lane")
    assert (full["event_id"], full["stream_id"]) == ("e", "lane")


def test_every_error_has_the_one_root() -> None:
    """Whoever catches AndonError catches all that is raised on purpose; a branch tells what to do."""
    for kind in (RequestError, RetryLaterError, GoneError, StartError, ContractError):
        assert issubclass(kind, AndonError)
    assert issubclass(StoreUnavailable, RetryLaterError)
    assert StoreUnavailable("m").code == "store_unavailable"
    assert StoreUnavailable("m", code="store_full").code == "store_full"


def test_the_close_codes_are_those_that_the_outside_relies_on() -> None:
    """One table, each code with a reason, a meaning and what to do (design, section 3)."""
    assert {int(code) for code in CloseCode} == {1000, 1001, 1007, 1009, 1011, 1012, 1013, 3000, 3003, 3008}
    assert set(CLOSE_CODES) == set(CloseCode)
    assert STOPPED_REASON == "stopped"
    for reason, meaning, remedy in CLOSE_CODES.values():
        assert 0 < len(reason.encode()) <= 123  # RFC 6455, section 5.5: a control frame's room
        assert meaning
        assert remedy
    assert len({reason for reason, _, _ in CLOSE_CODES.values()}) == len(CLOSE_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnauthorizedError("missing_token", "m"), 3000),
        (ForbiddenError("origin_not_allowed", "m"), 3003),
        (RequestError("invalid_value", "m"), 3003),
        (NotFoundError("response_not_found", "m"), 3003),
        (TooLargeError("body_too_large", "m"), 3003),
        (OverloadedError("too_many_sockets", "m"), 1013),
        (StoreUnavailable("m"), 1013),
        (KeysUnavailable("keys_unavailable", "m"), 1013),
        (RestartingError("m"), 1012),
        (RetryLaterError("overloaded", "m"), 1013),
        (GoneError("job_lost", "m"), 1011),
        (ContractError("m"), 1011),
    ],
)
def test_a_refused_handshake_closes_with_the_code_of_its_error(error: AndonError, code: int) -> None:
    """For those who cannot see the HTTP status: whether to get a token, come back later, or not at all."""
    assert close_code_of(error) == code
