from typing import Any

import msgspec
import pytest

from andon.pieces import Cause
from worker.upstream.redact import redactor
from worker.upstream.retry_after import parse_retry_after_s
from worker.upstream.status import status_error


def error_of(status: int, error: Any = None, **headers: str) -> Any:
    body = b"" if error is None else msgspec.json.encode({"error": error})
    return status_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, redactor())


@pytest.mark.parametrize(
    ("status", "code", "cause", "retryable"),
    [
        (302, "server_error", Cause.UPSTREAM_REJECTED, False),
        (400, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (401, "server_error", Cause.UPSTREAM_UNAUTHORIZED, False),
        (403, "server_error", Cause.UPSTREAM_UNAUTHORIZED, False),
        (404, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (408, "server_error", Cause.UPSTREAM_TIMEOUT, True),
        (409, "server_error", Cause.UPSTREAM_ERROR, True),
        (413, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (422, "invalid_prompt", Cause.UPSTREAM_REJECTED, False),
        (429, "rate_limit_exceeded", Cause.UPSTREAM_RATE_LIMITED, True),
        (500, "server_error", Cause.UPSTREAM_ERROR, True),
        (503, "server_error", Cause.UPSTREAM_ERROR, True),
        (529, "server_error", Cause.UPSTREAM_ERROR, True),
    ],
)
def test_a_status_has_its_meaning(status: int, code: str, cause: Cause, retryable: bool) -> None:
    """One table; every message says what to do."""
    error = error_of(status)
    assert (error.failure.code, error.failure.cause, error.retryable) == (code, cause, retryable)
    assert error.failure.message.endswith(".")


def test_the_upstreams_words_code_and_parameter_are_kept_where_they_help() -> None:
    """A code that the SDK knows, the message without its keys, the parameter's name."""
    error = error_of(400, {"code": "image_too_large", "message": "Too large, sk-abcdef123456", "param": "input[0]"})
    assert error.failure.code == "image_too_large"
    assert "Too large, [redacted]" in error.failure.message
    assert error.failure.param == "input[0]"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_repeats_nothing(status: int) -> None:
    """The upstream's text may quote the key."""
    message = error_of(status, {"message": "key hunter2 is wrong"}).failure.message
    assert "OPENAI_API_KEY" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"detail":"busy"}', b"[]", b'{"error":null}', b"\xff"])
def test_any_body_will_do(body: bytes) -> None:
    """The status alone decides."""
    assert status_error(503, {}, body, redactor()).failure.cause is Cause.UPSTREAM_ERROR


def test_a_used_up_quota_is_not_tried_again() -> None:
    """A 429 that waiting does not mend."""
    assert not error_of(429, {"code": "insufficient_quota", "message": "pay"}).retryable


def test_the_servers_own_word_on_retries_is_followed() -> None:
    """As the SDK does."""
    assert not error_of(500, x_should_retry="false").retryable
    assert error_of(400, x_should_retry="true").retryable


NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Tue, 14 Nov 99999999999999999999 22:13:00 GMT"}, None),
    ],
)
def test_the_wait_asked_for_is_read(headers: dict[str, str], wait_s: float | None) -> None:
    """Milliseconds, seconds, or a date; nonsense is none."""
    assert parse_retry_after_s(headers, NOW_S) == wait_s


def test_the_wait_comes_with_the_error_and_is_bounded() -> None:
    """A server that wants an hour is not worth waiting for."""
    assert error_of(429, retry_after="7").retry_after_s == 7
    late = error_of(429, retry_after="3600")
    assert (late.retryable, late.retry_after_s) == (False, None)
