"""Errors: one root, a branch for each thing the caller can do.

    AndonError
    ├── RequestError          mend the request: names the field and the remedy
    │   ├── UnauthorizedError no token, or none that counts
    │   ├── ForbiddenError    the token may not do this
    │   ├── NotFoundError     no such response for this caller
    │   ├── ConflictError     the same key with another body
    │   └── TooLargeError     more bytes than are read
    ├── RetryLaterError       nothing happened that a repeat would double: try again
    │   ├── RestartingError   this replica is going: another one takes it
    │   ├── StoreUnavailable  Redis is away, slow or full
    │   ├── KeysUnavailable   the keys that tokens are checked with are not to be had
    │   └── OverloadedError   a bound was reached
    ├── GoneError             give up: Redis itself lost the job
    ├── StartError            the process cannot start: one clear line
    └── ContractError         our bug: a reply or frame that the contract does not know

Foreign exceptions are translated once, at the adapter that meets them, with `from`.
"""

from http import HTTPStatus
from typing import ClassVar, TypeAlias

from andon.events import ErrorAnswer, ErrorEvent, StreamErrorEvent


class AndonError(Exception):
    """Root of all errors that Andon raises on purpose."""


class RequestError(AndonError):
    """The client can mend this: `param` names the field, the message the remedy."""

    status: ClassVar[int] = HTTPStatus.BAD_REQUEST
    type: ClassVar[str] = "invalid_request_error"

    def __init__(self, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class UnauthorizedError(RequestError):
    """No token came, or one that does not count. The message never repeats it."""

    status: ClassVar[int] = HTTPStatus.UNAUTHORIZED
    type: ClassVar[str] = "authentication_error"


class ForbiddenError(RequestError):
    """Who is calling is known, or where from, and may not do this."""

    status: ClassVar[int] = HTTPStatus.FORBIDDEN
    type: ClassVar[str] = "permission_error"


class NotFoundError(RequestError):
    """No such response for this caller: unknown, expired and foreign look alike on purpose."""

    status: ClassVar[int] = HTTPStatus.NOT_FOUND


class ConflictError(RequestError):
    """The same idempotency key came with another body."""

    status: ClassVar[int] = HTTPStatus.CONFLICT


class TooLargeError(RequestError):
    """The body has more bytes than are read."""

    status: ClassVar[int] = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class RetryLaterError(AndonError):
    """Nothing is wrong with the request; the same request may succeed later."""

    status: ClassVar[int] = HTTPStatus.SERVICE_UNAVAILABLE
    type: ClassVar[str] = "server_error"

    def __init__(self, code: str, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param: str | None = None
        self.retry_after_s = retry_after_s


class RestartingError(RetryLaterError):
    """This replica is going: another one takes it, at once."""

    def __init__(self, message: str) -> None:
        super().__init__("restarting", message)


class StoreUnavailable(RetryLaterError):  # noqa: N818  the condition is the name
    """Redis did not answer in time, refused, or is full. A write may have happened: scripts are idempotent."""

    def __init__(self, message: str, *, code: str = "store_unavailable") -> None:
        super().__init__(code, message)


class KeysUnavailable(RetryLaterError):  # noqa: N818  the condition is the name
    """Tokens cannot be checked at present: the issuer's keys were never read, and its URL does not answer."""


class OverloadedError(RetryLaterError):
    """A bound was reached: lanes, queued commands, sockets."""

    status: ClassVar[int] = HTTPStatus.TOO_MANY_REQUESTS
    type: ClassVar[str] = "rate_limit_error"


class GoneError(AndonError):
    """Redis itself lost the job; nothing recreates it."""

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    type: ClassVar[str] = "server_error"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param: str | None = None


class StartError(AndonError):
    """The process cannot start; the message is the one line to print."""


class ContractError(AndonError):
    """A reply or frame that the contract does not know: our bug, or a foreign writer in our keys."""


# What a client is told about.
ToldError: TypeAlias = RequestError | RetryLaterError | GoneError


def error_body(error: ToldError) -> ErrorAnswer:
    """Shape an error as the body of an HTTP answer, as OpenAI does."""
    return {"error": {"type": error.type, "code": error.code, "message": error.message, "param": error.param}}


def stream_error(error: ToldError, sequence_number: int) -> StreamErrorEvent:
    """Shape an error as an event of an SSE stream: flat, because the SDK raises on a nested `error` there.

    `sequence_number`: of the last event before it, so that a client that notes it resumes at the right one.
    """
    return {
        "type": "error",
        "sequence_number": sequence_number,
        "code": error.code,
        "message": error.message,
        "param": error.param,
    }


def error_event(
    error: RequestError | RetryLaterError, *, event_id: str | None = None, stream_id: str | None = None
) -> ErrorEvent:
    """Shape an error as the socket's `error` event (design, section 3).

    `stream_id` only where a create of that lane failed: on a named lane the SDK takes any `error` for the end of that
    lane's response.
    """
    event: ErrorEvent = {
        "type": "error",
        "status": int(error.status),
        "error": error_body(error)["error"],
    }
    if isinstance(error, RetryLaterError):
        # What the header `Retry-After` is over HTTP.
        event["error"]["retry_after_s"] = error.retry_after_s
    if event_id is not None:
        event["event_id"] = event_id
    if stream_id is not None:
        event["stream_id"] = stream_id
    return event
