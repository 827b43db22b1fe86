"""The errors an upstream adapter raises: one root, a branch for each thing the caller can do.

    UpstreamAdapterError                 the root of this package, an AndonError
     +-- UpstreamMisconfiguredError      mend the settings: the worker can't start (a StartError)
     +-- SseEventTooLargeError           give up: the stream is no event stream we can hold
     +-- UpstreamError                   the request failed; `retryable` says whether to try again
          +-- UnsupportedParameterError  mend the request: this upstream can't be asked for that field

Does not own the choice of code, cause and wording for a foreign failure: see `status`, `failures` and `client`.
"""

from andon.errors import AndonError, StartError
from andon.pieces import Cause, Failure


class UpstreamAdapterError(AndonError):
    """The root: any failure this package reports."""


class UpstreamMisconfiguredError(UpstreamAdapterError, StartError):
    """The settings of the upstream will never do; the message names the variable to change."""


class SseEventTooLargeError(UpstreamAdapterError):
    """One server-sent event outgrew its limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"a server-sent event is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class UpstreamError(UpstreamAdapterError):
    """A request to the model failed.

    `failure` is what the client is told when no retry is left. `retryable` is True where the same request may well
    succeed later. `retry_after_s` is the server's own wish in seconds, bounded, or None.
    """

    def __init__(self, failure: Failure, *, retryable: bool, retry_after_s: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class UnsupportedParameterError(UpstreamError):
    """The request holds a field that this upstream has no word for.

    `param` is the path of the field within the Responses create body: `tools[0].type`.
    """

    def __init__(self, param: str, message: str) -> None:
        failure = Failure(code="invalid_prompt", cause=Cause.UNSUPPORTED_PARAMETER, message=message, param=param)
        super().__init__(failure, retryable=False)
        self.param = param
