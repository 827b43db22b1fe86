"""Complaints: what a client is told when a source of one's own fails.

Owns the wording. Guarantees that a client sees the function's name and the kind of what went wrong, and nothing that
the function said, raised or yielded: an exception's text may hold a prompt, an address or a key.
"""

from andon.pieces import Cause, Failure

_CLASSES_SHOWN = 3
_TYPE_CHARS = 80


def raised_failure(name: str, error: BaseException) -> Failure:
    """Return the failure for a function that raised."""
    message = (
        f"The source {name} raised {class_name(error)}. Create the response again; the operator finds the place in the "
        "worker's log."
    )
    return Failure("server_error", Cause.SOURCE_FAILED, message)


def class_name(error: BaseException) -> str:
    """Name an exception's class with its package, and a group's members in brackets."""
    if isinstance(error, BaseExceptionGroup):
        names = sorted({class_name(inner) for inner in error.exceptions})
        return f"{type(error).__name__} ({', '.join(names[:_CLASSES_SHOWN])})"
    package = type(error).__module__.partition(".")[0]
    return type(error).__qualname__ if package == "builtins" else f"{package}.{type(error).__qualname__}"


def yielded_failure(name: str, what: str, reason: str = "") -> Failure:
    """Return the failure for a yield that is neither text nor a Responses event. `what` names its kind only."""
    message = (
        f"The source {name} yielded {what}{f' ({reason})' if reason else ''}. It must yield text, or events of the "
        "Responses API as dicts or as the SDK's objects."
    )
    return Failure("server_error", Cause.SOURCE_GARBAGE, message)


def unfinished_failure(name: str) -> Failure:
    """Return the failure for a function that returned while an output item of its own was open."""
    message = (
        f"The source {name} ended with an output item open. It must yield `response.output_item.done` for each item "
        "that it added, or `response.completed` at the end."
    )
    return Failure("server_error", Cause.SOURCE_GARBAGE, message)


def silent_failure(name: str, gap_s: float) -> Failure:
    """Return the failure for a function that yielded nothing for too long."""
    message = (
        f"The source {name} yielded nothing for {gap_s:g} s. Try again later; the operator may raise "
        "ANDON_UPSTREAM_GAP_S, or have it yield an empty text while it works."
    )
    return Failure("server_error", Cause.UPSTREAM_TIMEOUT, message)


def described(value: object) -> str:
    """Name the kind of a yielded thing."""
    if isinstance(value, dict):
        kind = value.get("type")
        return f"an event of type {kind[:_TYPE_CHARS]!r}" if isinstance(kind, str) else "a dict without `type`"
    return f"an object of type {type(value).__name__}" if value is not None else "None"
