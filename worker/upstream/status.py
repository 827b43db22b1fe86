"""Status: what a refused request means.

Owns the one table from an HTTP status to code, cause, wording and "try again or not". Does not own connections that
broke without a status (`client`). Guarantees that a 401 or 403 never repeats what the upstream said: its text may
hold the key.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from andon.pieces import Cause, Failure
from worker.upstream.errors import UpstreamError
from worker.upstream.failures import RESPONSE_ERROR_CODES, UpstreamComplaint, read_complaint
from worker.upstream.redact import Redact
from worker.upstream.retry_after import MAX_RETRY_AFTER_S, parse_retry_after_s

_UNAUTHORIZED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SERVER_ERRORS = 500
_CLIENT_ERRORS = 400


def status_error(status: int, headers: Mapping[str, str], body: bytes, redact: Redact) -> UpstreamError:
    """Return the error for a response with a status of 300 or more.

    `headers` has lower-case names or is case-insensitive; `body` is as much of the body as was read.
    """
    complaint = _read_body(body)
    failure = _failure(status, complaint, redact)
    wait_s = parse_retry_after_s(headers)
    retryable = _is_retryable(status, complaint, headers) and not (wait_s is not None and wait_s > MAX_RETRY_AFTER_S)
    return UpstreamError(failure, retryable=retryable, retry_after_s=wait_s if retryable else None)


def _failure(status: int, complaint: UpstreamComplaint, redact: Redact) -> Failure:
    said = redact(complaint.message)
    because = f": {said}" if said else ""
    if status in _UNAUTHORIZED:
        message = (
            f"The model server refused the worker's credentials ({status}). The operator should check OPENAI_API_KEY "
            "(and OPENAI_ORG_ID, OPENAI_PROJECT_ID) of the worker."
        )
        return Failure("server_error", Cause.UPSTREAM_UNAUTHORIZED, message)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = f"The model server's rate limit or quota is used up (429){because}. Try again later."
        return Failure("rate_limit_exceeded", Cause.UPSTREAM_RATE_LIMITED, message)
    if status == HTTPStatus.REQUEST_TIMEOUT:
        message = f"The model server gave up waiting for the request ({status}){because}. Try again."
        return Failure("server_error", Cause.UPSTREAM_TIMEOUT, message)
    if status >= _SERVER_ERRORS or status == HTTPStatus.CONFLICT:
        message = f"The model server failed ({status}){because}. Try again later."
        return Failure("server_error", Cause.UPSTREAM_ERROR, message)
    if status < _CLIENT_ERRORS:
        message = f"The model server sent the request elsewhere ({status}). The operator should check OPENAI_BASE_URL."
        return Failure("server_error", Cause.UPSTREAM_REJECTED, message)
    code = complaint.code if complaint.code in RESPONSE_ERROR_CODES else "invalid_prompt"
    message = f"The model server rejected the request ({status}){because}. {_remedy(status)}"
    return Failure(code or "invalid_prompt", Cause.UPSTREAM_REJECTED, message, complaint.param)


def _remedy(status: int) -> str:
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return "Check the model's name; the operator should check OPENAI_BASE_URL and ANDON_UPSTREAM_API."
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "Send less."
    return "Change the request."


def _is_retryable(status: int, complaint: UpstreamComplaint, headers: Mapping[str, str]) -> bool:
    wish = headers.get("x-should-retry")  # OpenAI's own word on it, which its SDK follows
    if wish in {"true", "false"}:
        return wish == "true"
    if "insufficient_quota" in (complaint.code, complaint.kind):
        return False  # a 429 that no waiting mends
    return status >= _SERVER_ERRORS or status in {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }


def _read_body(body: bytes) -> UpstreamComplaint:
    """Read the error object of a body: under `error`, flat, or (FastAPI) under `detail`; else nothing was said."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return UpstreamComplaint()  # a proxy's page of HTML explains nothing
    if isinstance(decoded, dict):
        decoded = decoded.get("error") or decoded.get("detail") or decoded
    return read_complaint(decoded)
