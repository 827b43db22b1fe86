"""Failures: an upstream's error object, in the words of `response.error`.

Owns the closed list of codes a client's SDK knows, and the reading of the error objects that model servers send
(OpenAI's `{"message", "code", "type", "param"}`, vLLM's flat one with an integer code, a bare string). Does not own
HTTP statuses (`status`) or broken connections (`client`).
"""

from typing import Any

import msgspec

from andon.pieces import Cause, Failure, Finish
from worker.upstream.redact import Redact

# The literals of `openai.types.responses.ResponseError.code`; a test compares, so that drift is seen. Kept here
# because the SDK's list may only be imported by `client`, and because this side of it is a promise of ours.
RESPONSE_ERROR_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)


class UpstreamComplaint(msgspec.Struct, frozen=True):
    """What an error object said, as far as it said anything. `message` is raw: redact before showing it."""

    message: str = ""
    code: str | None = None
    kind: str | None = None
    param: str | None = None


def read_complaint(error: Any) -> UpstreamComplaint:
    """Read an error object of any of the known shapes; never raises."""
    if isinstance(error, str):
        return UpstreamComplaint(message=error)
    if not isinstance(error, dict):
        return UpstreamComplaint()
    message, code, kind, param = (error.get(name) for name in ("message", "code", "type", "param"))
    return UpstreamComplaint(
        message=message if isinstance(message, str) else "",
        code=str(code) if isinstance(code, str | int) else None,
        kind=kind if isinstance(kind, str) else None,
        param=param if isinstance(param, str) else None,
    )


def complaint_failure(error: Any, redact: Redact) -> Failure:
    """Return the failure for an error that came within the stream, after the status line said 200."""
    complaint = read_complaint(error)
    said = redact(complaint.message) or "it gave no reason"
    if "rate_limit_exceeded" in (complaint.code, complaint.kind) or complaint.code == "429":
        return Failure(
            code="rate_limit_exceeded",
            cause=Cause.UPSTREAM_RATE_LIMITED,
            message=f"The model server's rate limit ended the stream: {said}. Try again later.",
        )
    code = complaint.code if complaint.code in RESPONSE_ERROR_CODES else "server_error"
    return Failure(
        code=code or "server_error",
        cause=Cause.UPSTREAM_ERROR,
        message=f"The model server reported an error while streaming: {said}. Try again, or change the request.",
        param=complaint.param,
    )


def garbage_failure(reason: str) -> Failure:
    """Return the failure for bytes that are no stream of the expected kind. `reason` must hold nothing of them."""
    return Failure(
        code="server_error",
        cause=Cause.UPSTREAM_GARBAGE,
        message=f"The model server sent what is no valid stream ({reason}). "
        "Check OPENAI_BASE_URL and ANDON_UPSTREAM_API of the worker.",
    )


def cut_failure() -> Failure:
    """Return the failure for a stream that ended, or broke, without its finish."""
    return Failure(
        code="server_error",
        cause=Cause.UPSTREAM_CUT,
        message="The model server's stream ended before its finish; the output so far is kept. Try again.",
    )


def failed(failure: Failure, usage: dict[str, Any] | None = None) -> Finish:
    """Return the finish of a stream that failed."""
    return Finish(status="failed", response={}, usage=usage, failure=failure)
