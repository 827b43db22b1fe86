"""The sim's errors, in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

Owns the one error the sim raises and the body each HTTP status carries. Does not own who gets it.
"""

import msgspec

# Status: type, code, message. The types and codes are those OpenAI's API answers with, where it has one.
_STATUSES: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "The sim was asked to refuse this request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "permission_denied", "You are not allowed to use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    405: ("invalid_request_error", "method_not_supported", "This path does not take this method."),
    408: ("timeout", "request_timeout", "The request timed out."),
    409: ("conflict", "conflict", "The request conflicts with another one."),
    413: ("invalid_request_error", "request_too_large", "The request body is too large."),
    422: ("invalid_request_error", "unprocessable", "The request was well formed but cannot be processed."),
    429: ("rate_limit_exceeded", "rate_limit_exceeded", "Rate limit reached. Try again later."),
    500: ("server_error", "server_error", "The server had an error while processing your request."),
    502: ("server_error", "bad_gateway", "The server in front of the model got no good answer."),
    503: ("server_error", "unavailable", "The model is not available at present."),
    529: ("overloaded_error", "overloaded", "The model is overloaded. Try again later."),
}


class SimError(Exception):
    """A request that is answered with an HTTP error. The caller mends the request, or asks another model."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        kind, default_code, default_message = _STATUSES[status]
        super().__init__(message or default_message)
        self.status = status
        # The value of the Retry-After header, sent as it is: a test may want a bad one.
        self.retry_after = retry_after
        self.error = {
            "message": message or default_message,
            "type": kind,
            "param": param,
            "code": code or default_code,
        }

    @property
    def body(self) -> bytes:
        """The JSON that goes out."""
        return msgspec.json.encode({"error": self.error})

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers beside the content's own."""
        return [] if self.retry_after is None else [(b"retry-after", self.retry_after.encode("latin-1", "replace"))]
