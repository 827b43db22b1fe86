"""Transport errors: what a connection that failed, stalled or broke means.

Owns the one translation of httpx2's exceptions to `UpstreamError`. Does not own HTTP statuses (`status`), nor the
SDK's exceptions, which only wrap these (`client`).
"""

import ssl

import anyio
import httpx2

from andon.pieces import Cause, Failure
from worker.upstream.errors import UpstreamError
from worker.upstream.failures import cut_failure
from worker.upstream.redact import Redact

# What reading a body may raise. The last two come through httpx2 unmapped from TLS (the SDK keeps the same list).
BROKEN_BODY = (httpx2.RequestError, OSError, anyio.EndOfStream)


def timeout_error(error: BaseException | None) -> UpstreamError:
    """Return the error for a wait that was too long: for a connection, for the answer, or between two chunks."""
    if isinstance(error, httpx2.PoolTimeout):
        message = "Every connection of the worker to the model server is in use. Try again later."
    elif isinstance(error, httpx2.ConnectTimeout):
        message = "The model server did not take the connection in time. Check OPENAI_BASE_URL; try again later."
    else:
        message = "The model server sent nothing within the time allowed. Try again later."
    return UpstreamError(Failure("server_error", Cause.UPSTREAM_TIMEOUT, message), retryable=True)


def connection_error(error: BaseException | None, redact: Redact) -> UpstreamError:
    """Return the error for a request that got no answer: no connection, or one that broke first."""
    if isinstance(error, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
        # Also a kept connection that the server closed as we took it.
        message = "The model server broke the connection before it answered. Try again."
        return UpstreamError(Failure("server_error", Cause.UPSTREAM_CUT, message), retryable=True)
    tls = any(isinstance(link, ssl.SSLError) for link in _causes(error))
    doing = "make a TLS connection to" if tls else "connect to"
    reason = redact(str(error)) if error is not None else ""
    message = (
        f"The worker can't {doing} the model server{f' ({reason})' if reason else ''}. "
        "The operator should check OPENAI_BASE_URL and that the server runs."
    )
    return UpstreamError(Failure("server_error", Cause.UPSTREAM_UNREACHABLE, message), retryable=True)


def broken_body_error(error: BaseException) -> UpstreamError:
    """Return the error for an answer whose body stalled or broke."""
    if isinstance(error, httpx2.TimeoutException):
        return timeout_error(error)
    return UpstreamError(cut_failure(), retryable=True)


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
