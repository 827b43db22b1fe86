"""Refusal: an error as an HTTP answer, in OpenAI's shape.

Owns status, headers and body of every answer that is not what was asked for, the framework's own included: the SDK
reads all of them. A refusal that a repeat may mend says after how many seconds.
"""

import math
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from andon.errors import (
    ForbiddenError,
    GoneError,
    RequestError,
    RestartingError,
    RetryLaterError,
    ToldError,
    TooLargeError,
    UnauthorizedError,
    error_body,
)
from andon.frames import encode

# The client closed the connection: nobody reads this. The number is nginx's; it never goes out.
_CLIENT_CLOSED = 499


def refusal(error: ToldError, headers: dict[str, str] | None = None) -> Response:
    """Answer with an error."""
    told = {**(headers or {}), **refusal_headers(error)}
    return Response(encode(error_body(error)), int(error.status), told, "application/json")


def refusal_headers(error: ToldError) -> dict[str, str]:
    """Return the headers that say what to do about an error."""
    told = {}
    if isinstance(error, RetryLaterError):
        told["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, TooLargeError):
        told["Connection"] = "close"  # the rest of the body is not read
    if isinstance(error, UnauthorizedError | ForbiddenError):
        # RFC 6750, section 3: without a token, no more than the scheme is said.
        is_bad_token = error.code == "invalid_token"
        told["WWW-Authenticate"] = 'Bearer error="invalid_token"' if is_bad_token else "Bearer"
    return told


def nobody_reads() -> Response:
    """Answer a client that has closed the connection."""
    return Response(status_code=_CLIENT_CLOSED)


def restarting() -> RetryLaterError:
    """Say that this replica takes nothing new."""
    return RestartingError("This replica restarts. Send the request again; another one takes it.")


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError | RetryLaterError | GoneError)
    return refusal(error)


async def _gone(_: Request, error: Exception) -> Response:
    assert isinstance(error, ClientDisconnect)
    return nobody_reads()


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "unknown_url", HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed"}.get(known)
    body = {
        "error": {
            "type": "invalid_request_error",
            "code": code or known.name.lower(),
            "message": f"{known.phrase}: {request.method} {request.url.path[:200]}. See docs/protocol.md.",
            "param": None,
        }
    }
    return Response(encode(body), error.status_code, error.headers, "application/json")


async def _crashed(_: Request, __: Exception) -> Response:
    """Answer for a bug of ours; it is raised on, and logged, by the server."""
    return refusal(GoneError("internal_error", "The gateway failed on this request. The failure is in its log."))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    RequestError: _told,
    RetryLaterError: _told,
    GoneError: _told,
    ClientDisconnect: _gone,
    HTTPException: _unrouted,
    Exception: _crashed,
}
